"""Label inputs: find them, skip what the journal has, classify the rest in batches, write every row."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime import guard
from edge_fm_runtime.batch import ledger, sinks, sources
from edge_fm_runtime.batch.ledger import Ledger, Stamp, Terms
from edge_fm_runtime.batch.rows import Row, path_text
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.guard import Limits
from edge_fm_runtime.passport import RECIPE_VERSION
from edge_fm_runtime.status import Status

BATCH = 32
"""Pictures in each inference; the last batch is padded, so that a row never depends on its neighbours."""


@dataclass(frozen=True)
class Options:
    """How to label.

    Attributes:
        top: how many labels a row keeps, at least 1.
        fresh: whether to forget what an earlier run has done.
        limits: how large a picture may be.
    """

    top: int = 1
    fresh: bool = False
    limits: Limits = guard.DEFAULT_LIMITS


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        rows: one for each input.
        resumed: how many of them an earlier run had done.
        by_status: how many of each.
        by_label: how many of each, answered inputs only.
        note: why everything was done again, if it was.
    """

    rows: int
    resumed: int
    by_status: dict[Status, int]
    by_label: dict[str, int]
    note: str

    @property
    def bad(self) -> int:
        """How many inputs could not be answered though they should be pictures."""
        return sum(count for status, count in self.by_status.items() if status.bad)


Listener = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""


def label(
    classifier: Classifier,
    model: bytes,
    inputs: Sequence[str],
    output: Path,
    options: Options,
    listener: Listener,
) -> Summary:
    """Write one row for every input.

    Args:
        classifier: the model.
        model: its file's bytes, for the journal.
        inputs: files and folders.
        output: `.csv`; appears when every row is there.
        options: how.
        listener: told of progress.

    Raises:
        SourceError: an input is not there, or there are none.
        OutputError: the output cannot be written; what was done is kept in the journal.
    """
    sinks.check(output)
    own = [str(path) for path in (output, ledger.journal_path(output), ledger.lock_path(output))]
    paths = sources.find(inputs, outputs=own)
    terms = Terms(
        hashlib.sha256(model).hexdigest(),
        RECIPE_VERSION,
        options.top,
        options.limits.max_bytes,
        options.limits.max_pixels,
    )
    with Ledger(output, terms, paths, fresh=options.fresh) as journal:
        to_do = journal.open_indices
        done = resumed = len(paths) - len(to_do)
        listener(done, len(paths))
        for start in range(0, len(to_do), BATCH):
            indices = to_do[start : start + BATCH]
            for index, line in zip(
                indices, _classify(classifier, [paths[i] for i in indices], options), strict=True
            ):
                journal.append(index, line)
            done += len(indices)
            listener(done, len(paths))
        counter = _Counter(journal.rows())
        sinks.write(output, counter, options.top)
    return Summary(len(paths), resumed, dict(counter.by_status), dict(counter.by_label), journal.restarted)


def _classify(classifier: Classifier, paths: Sequence[str], options: Options) -> list[bytes]:
    """Return a journal line for each of at most `BATCH` paths."""
    tensors = np.zeros((BATCH, *classifier.passport.input.shape), np.uint8)
    stamps = [Stamp.of(path) for path in paths]
    failures: dict[int, InputError] = {}
    for position, path in enumerate(paths):
        try:
            tensors[position] = classifier.tensor(guard.read_file(path, options.limits), options.limits)
        except InputError as error:
            failures[position] = error
    answers = _answers(classifier, tensors, options.top) if len(failures) < len(paths) else []
    lines = []
    for position, (path, stamp) in enumerate(zip(paths, stamps, strict=True)):
        text = path_text(path)
        failure = failures.get(position)
        row = Row(text, *answers[position]) if failure is None else Row.failed(text, failure)
        lines.append(ledger.encode(row, stamp))
    return lines


def _answers(
    classifier: Classifier, tensors: NDArray[np.uint8], top: int
) -> list[tuple[Status, tuple[tuple[str, str], ...]]]:
    predictions = classifier.decide(classifier.probabilities(tensors))
    return [(p.status, tuple((name, f"{value:.4f}") for name, value in p.ranking[:top])) for p in predictions]


class _Counter:
    """Pass rows on and count them."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.by_status: Counter[Status] = Counter()
        self.by_label: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.by_status[row.status] += 1
            if row.ranking:
                self.by_label[row.ranking[0][0]] += 1
            yield row
