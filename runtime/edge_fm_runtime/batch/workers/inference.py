"""Classify inputs: locators in, one encoded row each out, in the same order.

It knows nothing of who drives it: a worker process of a local run, or a task on a cluster.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.inputs.locators import Member, Opened, Opener
from edge_fm_runtime.batch.options import BATCH, RowOptions
from edge_fm_runtime.batch.outputs.rows import Row, Stamp, encode
from edge_fm_runtime.classifier import Classifier, Prediction
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image.guard import Limits, OpenFile

_MAX_HELD = 16 * 2**20
"""Encoded bytes that are kept for a second decode; with more, a batch is answered before it is full."""

_TOGETHER = 128
"""Inputs per group, so that the redecoded ones nearly fill their inferences, too."""

_AHEAD = 16
"""Files that are opened and read ahead of the one that is decoded."""


def label_rows(
    classifier: Classifier,
    inputs: Sequence[str],
    options: RowOptions,
    begin: Callable[[int], None] = lambda _position: None,
) -> Iterator[bytes]:
    """Yield an encoded row for each input, in order.

    Args:
        classifier: the model.
        inputs: locators.
        options: what else a row depends on.
        begin: told the position of each input before it is touched, again while it is fetched from afar and
            before it is decoded whole, and `len(inputs)` before each inference.
    """
    batch = _Batch(classifier, inputs, options, begin)
    for position, (opened, stamp) in enumerate(_opened_ahead(inputs, options.limits)):
        begin(position)
        try:
            if isinstance(opened, InputError):
                raise opened
            if not isinstance(opened, OpenFile | Member):
                opened.wait(functools.partial(begin, position))
            data = opened.read()
            batch.add(position, stamp, data, classifier.tensor(data, options.limits))
        except InputError as error:
            batch.fail(position, stamp, error)
        if batch.is_full:
            yield from batch.answers()
            batch = _Batch(classifier, inputs, options, begin)
    yield from batch.answers()


class _Batch:
    """Inputs that are classified together."""

    def __init__(
        self, classifier: Classifier, inputs: Sequence[str], options: RowOptions, begin: Callable[[int], None]
    ) -> None:
        self._classifier, self._inputs, self._options, self._begin = classifier, inputs, options, begin
        self._stamps: list[tuple[int, Stamp]] = []
        self._failures: dict[int, InputError] = {}
        self._pictures: list[tuple[int, bytes]] = []
        self._tensors: list[NDArray[np.uint8]] = []
        self._held = 0

    @property
    def is_full(self) -> bool:
        return len(self._stamps) == _TOGETHER or self._held > _MAX_HELD

    def add(self, position: int, stamp: Stamp, data: bytes, tensor: NDArray[np.uint8]) -> None:
        self._stamps.append((position, stamp))
        self._tensors.append(tensor)
        self._pictures.append((position, data))
        self._held += len(data)

    def fail(self, position: int, stamp: Stamp, error: InputError) -> None:
        self._stamps.append((position, stamp))
        self._failures[position] = error

    def answers(self) -> Iterator[bytes]:
        """Yield the encoded rows in the order of the inputs."""
        predictions = self._predictions() if self._pictures else {}
        for position, stamp in self._stamps:
            locator = self._inputs[position]
            if position in self._failures:
                yield encode(Row.failed(locators.text(locator), self._failures[position]), stamp)
            else:
                prediction = predictions[position]
                shares = [
                    (prediction.label, prediction.confidence),
                    *prediction.ranking[1 : self._options.top],
                ]
                ranking = tuple((name, f"{value:.4f}") for name, value in shares)
                yield encode(Row(locators.text(locator), prediction.status, ranking), stamp)

    def _predictions(self) -> dict[int, Prediction]:
        probabilities = self._probabilities(self._tensors)
        self._look_again(probabilities)
        decided = self._classifier.decide(probabilities)
        return {position: made for (position, _), made in zip(self._pictures, decided, strict=True)}

    def _look_again(self, probabilities: NDArray[np.float32]) -> None:
        """Replace the probabilities of images that have to be decoded in full."""
        looked, wholes = [], []
        for index in self._classifier.needs_full_decode(probabilities):
            position, data = self._pictures[index]
            begin = functools.partial(self._begin, position)
            try:
                whole = self._classifier.redecode(data, probabilities[index], self._options.limits, begin)
            except InputError as error:
                self._failures[position] = error
            else:
                if whole is not None:
                    looked.append(index)
                    wholes.append(whole)
        if looked:
            probabilities[looked] = self._probabilities(wholes)

    def _probabilities(self, tensors: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return (N, classes) calibrated probabilities, from inferences of `BATCH` images each."""
        rows = []
        for start in range(0, len(tensors), BATCH):
            some = tensors[start : start + BATCH]
            padded = np.zeros((BATCH, *some[0].shape), np.uint8)
            padded[: len(some)] = some
            self._begin(len(self._inputs))
            rows.append(self._classifier.probabilities(padded)[: len(some)])
        return np.concatenate(rows)


def _opened_ahead(inputs: Sequence[str], limits: Limits) -> "Iterator[tuple[Opened | InputError, Stamp]]":
    """Yield each input opened, while the system already reads the next ones."""
    opener = Opener(limits)
    ready: deque[tuple[Opened | InputError, Stamp]] = deque()
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
            ready.append((opened, stamp))
            if len(ready) > _AHEAD:
                yield ready.popleft()
        while ready:
            yield ready.popleft()
    finally:
        for opened, _ in ready:
            if not isinstance(opened, InputError):
                opened.close()
        opener.close()
