"""Label lists of inputs in one contained worker process, as in a local run; any engine can drive it.

    job = Job(read_model("fashion"), None, None, RowOptions(), memory_bytes=2**30)
    with LabelTask(job, timeout_s=4) as task:
        rows = task.rows(["a.jpg", "s3://bucket/b.jpg"])

A task is idempotent and does not depend on its engine: a Ray actor, a Spark task or a plain loop.
"""

from collections.abc import Callable, Sequence
from typing import Self

from edge_fm_runtime.batch.outputs.rows import Row, decode_rows
from edge_fm_runtime.batch.workers.pool import Pool
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.batch.workers.supervised_process import Chunk

_CHUNK = 128
"""Inputs in one message to the worker process: 16 batches."""


class LabelTask:
    """One worker process with a memory limit and a watchdog, for one list of inputs after another."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        """Start the worker process.

        Args:
            job: model and row options for the worker process.
            timeout_s: time limit per input in seconds; an input is tried twice.
        """
        self._pool = Pool(job, 1, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process."""
        self._pool.__exit__()

    def rows(
        self, inputs: Sequence[str], listener: Callable[[list[bytes]], None] = lambda _lines: None
    ) -> list[Row]:
        """Return one row for each input, in the same order; an input that fails has a row too.

        Args:
            inputs: paths, URLs or other locators.
            listener: called with journal lines as they are finished, in any order.

        Raises:
            EdgeFmError: the model cannot be opened.
        """
        chunks = [
            Chunk(
                tuple(range(start, min(start + _CHUNK, len(inputs)))), tuple(inputs[start : start + _CHUNK])
            )
            for start in range(0, len(inputs), _CHUNK)
        ]
        lines: list[bytes] = [b""] * len(inputs)
        for chunk, chunk_lines in self._pool.label(chunks):
            for index, line in zip(chunk.indices, chunk_lines, strict=True):
                lines[index] = line
            listener(chunk_lines)
        return decode_rows(lines)
