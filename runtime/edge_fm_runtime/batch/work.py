"""The piece of work: locators in, one encoded row each out, in the same order.

It knows nothing of who drives it: a worker process of a local run, or a task on a cluster.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edge_fm_runtime.batch import locators
from edge_fm_runtime.batch.locators import Opened, Opener
from edge_fm_runtime.batch.options import RowOptions
from edge_fm_runtime.batch.remote import Fetch
from edge_fm_runtime.batch.rows import Row, Stamp, encode
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.guard import Limits, OpenFile

BATCH = 32
"""Pictures in each inference; the last batch is padded, so that a row never depends on its neighbours."""

_AHEAD = 16
"""Files that are opened, and fetched by the system, ahead of the one that is decoded."""


def label_rows(
    classifier: Classifier,
    inputs: Sequence[str],
    options: RowOptions,
    begin: Callable[[int], None] = lambda _position: None,
) -> Iterator[bytes]:
    """Yield a journal line for each input, in order.

    Args:
        classifier: the model.
        inputs: locators.
        options: what else a row depends on.
        begin: told the position of each input before it is touched, again while it is fetched from afar, and
            `len(inputs)` before each inference.
    """
    tensors = np.zeros((BATCH, *classifier.passport.input.shape), np.uint8)
    waiting: list[tuple[Row | None, str, Stamp]] = []
    for position, (locator, opened, stamp) in enumerate(_opened_ahead(inputs, options.limits)):
        begin(position)
        row = None
        try:
            if isinstance(opened, InputError):
                raise opened
            if isinstance(opened, Fetch):
                opened.wait(functools.partial(begin, position))
            tensors[len(waiting)] = classifier.tensor(opened.read(), options.limits)
        except InputError as error:
            row = Row.failed(locators.text(locator), error)
        waiting.append((row, locator, stamp))
        if len(waiting) == BATCH:
            begin(len(inputs))
            yield from _answers(classifier, tensors, waiting, options.top)
            waiting = []
    if waiting:
        begin(len(inputs))
        yield from _answers(classifier, tensors, waiting, options.top)


def _opened_ahead(inputs: Sequence[str], limits: Limits) -> Iterator[tuple[str, Opened | InputError, Stamp]]:
    """Yield each input opened, while the system already fetches the next ones."""
    opener = Opener(limits)
    ready: deque[tuple[str, Opened | InputError, Stamp]] = deque()
    try:
        for locator in inputs:
            opened: Opened | InputError
            try:
                opened = opener.open(locator)
            except InputError as error:
                opened = error
            if isinstance(opened, OpenFile):
                stamp = Stamp(opened.size, opened.mtime_ns)
            else:
                stamp = Stamp(*locators.stamp(locator))
            ready.append((locator, opened, stamp))
            if len(ready) > _AHEAD:
                yield ready.popleft()
        while ready:
            yield ready.popleft()
    finally:
        for _, opened, _ in ready:
            if not isinstance(opened, InputError):
                opened.close()
        opener.close()


def _answers(
    classifier: Classifier,
    tensors: np.typing.NDArray[np.uint8],
    waiting: Sequence[tuple[Row | None, str, Stamp]],
    top: int,
) -> Iterator[bytes]:
    answered = any(row is None for row, _, _ in waiting)
    probabilities = classifier.probabilities(tensors)[: len(waiting)] if answered else None
    predictions = classifier.decide(probabilities) if probabilities is not None else [None] * len(waiting)
    for (row, locator, stamp), prediction in zip(waiting, predictions, strict=True):
        if row is None and prediction is not None:
            ranking = tuple((name, f"{value:.4f}") for name, value in prediction.ranking[:top])
            yield encode(Row(locators.text(locator), prediction.status, ranking), stamp)
        elif row is not None:
            yield encode(row, stamp)
