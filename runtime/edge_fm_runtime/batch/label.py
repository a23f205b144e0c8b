"""Label inputs: find them, resume from the journal, classify the rest in workers, write every row."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime.artifact.input_spec import PREPROCESS_VERSION
from edge_fm_runtime.batch.inputs import find, locators
from edge_fm_runtime.batch.options import BATCH, Options
from edge_fm_runtime.batch.outputs import files, shards
from edge_fm_runtime.batch.outputs import journal as journal_module
from edge_fm_runtime.batch.outputs.atomic import sweep
from edge_fm_runtime.batch.outputs.files import TableFormat
from edge_fm_runtime.batch.outputs.journal import Journal, RunKey
from edge_fm_runtime.batch.outputs.lock import lock_path
from edge_fm_runtime.batch.outputs.rows import Row, decode, json_line, status_of
from edge_fm_runtime.batch.outputs.shards import Part
from edge_fm_runtime.batch.workers.pool import Pool
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.batch.workers.supervised_process import Chunk
from edge_fm_runtime.status import Status

_CHUNK = 128
"""Largest number of inputs in one message to a worker."""

_LEAST = 4
"""Smallest number, except in the last message: an inference of fewer takes as long."""

_SHARE = 4
"""Messages per worker that stay large; the last ones get smaller, so that all workers end together."""

_WORTH_A_WORKER = 64
"""Inputs per worker below which another worker does not pay."""


@dataclass(frozen=True)
class Model:
    """Bytes of a model file, its labels if it has no passport, and the language of the labels."""

    data: bytes
    labels: tuple[str, ...] | None = None
    language: str | None = None


@dataclass(frozen=True)
class LabelSummary:
    """Result of a run.

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
    note: str = ""

    @property
    def bad(self) -> int:
        """Number of inputs that should be images and could not be classified."""
        return sum(count for status, count in self.by_status.items() if status.bad)


Listener = Callable[[int, int, Counter[Status]], None]
"""Called with (rows done, rows in total, rows of this run by status)."""


class FoundInputs(tuple[str, ...]):
    """Locators that have been found already, in place of the arguments to find them by."""

    __slots__ = ()


def label(
    model: Model, inputs: Sequence[str], output: Path, options: Options, listener: Listener
) -> LabelSummary:
    """Write one row for every input: find -> resume from the journal -> workers -> output.

    Args:
        model: the model.
        inputs: arguments as `find.find` takes them, or `FoundInputs`.
        output: `.csv`, `.jsonl` or `.parquet`; it appears when every row is there.
        options: how to label.
        listener: called with progress.

    Raises:
        SourceError: an input is not there, or there are none.
        ModelError: the model cannot be used.
        OutputError: the output cannot be written; finished rows stay in the journal.
    """
    form = TableFormat(top=options.row.top, fields=options.fields, spreadsheet_safe=options.spreadsheet_safe)
    files.check(output, form)
    found = inputs if isinstance(inputs, FoundInputs) else find.find(inputs, outputs=own_files(output))
    chosen = found if options.shard is None else shards.belonging(found, options.shard)
    key = run_key(model, options)
    with Journal(output, key, chosen, fresh=options.fresh) as journal:
        for path in (output, shards.meta_path(output)):
            sweep(path)
        to_do = journal.open_indices
        resumed = len(chosen) - len(to_do)
        made: Counter[Status] = Counter()
        listener(resumed, len(chosen), made)
        for chunk, lines in _labelled(model, chosen, to_do, options):
            journal.append(chunk.indices, lines)
            made.update(map(status_of, lines))
            listener(resumed + made.total(), len(chosen), made)
        counted = _Counted(journal.rows())
        if options.shard is None:
            files.write(output, counted, form)
        else:
            paths = shards.paths_sha256(map(locators.text, found))
            shards.write_part(output, counted, Part(key, options.shard, len(chosen), len(found), paths))
    return LabelSummary(
        len(chosen), resumed, dict(counted.by_status), dict(counted.by_label), journal.restarted
    )


def stream(
    model: Model, inputs: Sequence[str], options: Options, write: Callable[[str], None]
) -> LabelSummary:
    """Write each row as a JSON line as soon as it is done; no journal is kept.

    Raises:
        SourceError: an input is not there, or there are none.
        ModelError: the model cannot be used.
    """
    chosen = find.find(inputs)
    if options.shard is not None:
        chosen = shards.belonging(chosen, options.shard)

    def rows() -> Iterator[Row]:
        for _, lines in _labelled(model, chosen, list(range(len(chosen))), options):
            for line in lines:
                yield decode(line)[0]

    counted = _Counted(rows())
    for row in counted:
        write(json_line(row, options.row.top, options.fields))
    return LabelSummary(len(chosen), 0, dict(counted.by_status), dict(counted.by_label))


def own_files(output: Path) -> list[str]:
    """Return the paths that a run writes."""
    return [
        str(path)
        for path in (
            output,
            journal_module.journal_path(output),
            lock_path(output),
            shards.meta_path(output),
        )
    ]


def _labelled(
    model: Model, inputs: Sequence[str], to_do: Sequence[int], options: Options
) -> Iterator[tuple[Chunk, list[bytes]]]:
    """Yield chunks with their encoded rows from worker processes, in any order."""
    if not to_do:
        return
    workers = max(1, min(options.workers, -(-len(to_do) // _WORTH_A_WORKER)))
    chunks = []
    for start, stop in _divided(len(to_do), workers):
        indices = tuple(to_do[start:stop])
        chunks.append(Chunk(indices, tuple(inputs[index] for index in indices)))
    job = Job(model.data, model.labels, model.language, options.row, options.memory_bytes)
    with Pool(job, workers, options.timeout_s) as pool:
        yield from pool.label(chunks)


def _divided(count: int, workers: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each message to a worker: large ones first, then smaller ones.

    Args:
        count: of inputs.
        workers: that take one message after the other.
    """
    start = 0
    while start < count:
        size = min(_CHUNK, max(_LEAST, (count - start) // (workers * _SHARE)))
        size = min(size // BATCH * BATCH or size, count - start)
        yield start, start + size
        start += size


def run_key(model: Model, options: Options) -> RunKey:
    """Return everything that rows depend on besides their inputs."""
    limits = options.row.limits
    labels = "" if model.labels is None else "\0".join(model.labels)
    language = "" if model.language is None else f"\0lang={model.language}"
    digest = hashlib.sha256(model.data + labels.encode() + language.encode()).hexdigest()
    return RunKey(digest, PREPROCESS_VERSION, options.row.top, limits.max_bytes, limits.max_pixels)


class _Counted:
    """Rows that are counted as they are iterated."""

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
