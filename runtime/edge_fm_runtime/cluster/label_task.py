"""The piece of work that an engine drives: inputs in, their rows out, contained as in a local run.

    job = Job(read_model("fashion"), None, None, RowOptions(), memory_bytes=2**30)
    with Piece(job, timeout_s=4) as piece:
        rows = piece.rows(["a.jpg", "s3://bucket/b.jpg"])

It is idempotent and knows nothing of its engine: a Ray actor, a Spark task or a loop holds one.
"""

from collections.abc import Callable, Sequence
from typing import Self

from edge_fm_runtime.batch.outputs.rows import Row, decode_rows
from edge_fm_runtime.batch.workers.pool import Pool
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.batch.workers.supervised_process import Chunk

_CHUNK = 128
"""Inputs in one message to the worker process: four batches."""


class LabelTask:
    """One worker process with a memory limit and a watchdog, used for one list of inputs after another."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        """Start the worker process.

        Args:
            job: what it is for.
            timeout_s: how long one input may take, in seconds; it is tried twice.
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
        """Return one row for each input, in the same order, whatever the input is.

        Args:
            inputs: paths, URLs or other locators.
            listener: told of journal lines as they are done, in any order.

        Raises:
            EdgeFmError: the model cannot be opened.
        """
        starts = range(0, len(inputs), _CHUNK)
        chunks = [
            Chunk(
                tuple(range(start, min(start + _CHUNK, len(inputs)))), tuple(inputs[start : start + _CHUNK])
            )
            for start in starts
        ]
        lines: list[bytes] = [b""] * len(inputs)
        for chunk, made in self._pool.label(chunks):
            for index, line in zip(chunk.indices, made, strict=True):
                lines[index] = line
            listener(made)
        return decode_rows(lines)
