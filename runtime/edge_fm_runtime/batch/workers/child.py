"""Run as a worker process: python -m edge_fm_runtime.batch.workers.child PROGRESS_FILE.

It reads a job and then chunks of locators from standard input, and writes lists of journal lines to standard
output. Only its parent talks to it, or who had it forked (fork_server.py). What C libraries print goes
nowhere. Before each input it writes the input's position into a shared file, so that the parent knows which
one a hang or a crash belongs to.
"""

import contextlib
import functools
import mmap
import os
import sys
from typing import IO, TYPE_CHECKING

from edge_fm_runtime.batch.workers.protocol import POSITION, Job, receive, send
from edge_fm_runtime.errors import EdgeFmError, ModelError
from edge_fm_runtime.posix import limit_memory
from edge_fm_runtime.untrusted import deadline

if TYPE_CHECKING:
    from edge_fm_runtime.classifier import Classifier

_OUT_OF_MEMORY = 70


def load_libraries() -> None:
    """Import everything that a worker needs.

    Raises:
        EdgeFmError: OpenCV cannot be loaded.
    """
    import onnxruntime  # noqa: F401  # early: the parent is still finding the inputs

    from edge_fm_runtime.batch.workers import inference  # noqa: F401


def _prepare(requests: IO[bytes], answers: IO[bytes]) -> "tuple[Classifier, Job]":
    """Load the libraries, then read the job and open its model.

    Raises:
        EOFError: the parent is gone.
        EdgeFmError: OpenCV or the model cannot be loaded; the job was read.
    """
    try:
        load_libraries()
    except EdgeFmError:
        receive(requests)
        raise
    from edge_fm_runtime.classifier import Classifier

    job: Job = receive(requests)
    deadline.give_up = functools.partial(_give_up, answers)
    return Classifier.from_bytes(job.model, job.labels, job.language), job


def _give_up(answers: IO[bytes], message: str) -> None:
    """Tell the parent why the model cannot be opened, and end in the middle of it."""
    send(answers, ModelError(message))
    os._exit(1)


def main() -> None:
    """Serve standard input and output as a program of its own."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with open(sys.argv[1], "r+b") as file:
        shared = mmap.mmap(file.fileno(), POSITION.size)
    with contextlib.suppress(OSError):  # Windows leaves it to the parent
        os.unlink(sys.argv[1])  # nothing is left, however both processes end
    serve(requests, answers, shared)


def serve(requests: IO[bytes], answers: IO[bytes], shared: mmap.mmap) -> None:
    """Answer requests until they end.

    Args:
        requests: a job, then chunks of locators.
        answers: None or an error for the job, then lists of journal lines.
        shared: where the position of the input in hand is written.
    """
    try:
        classifier, job = _prepare(requests, answers)
    except EOFError:
        return
    except EdgeFmError as error:
        send(answers, error)
        return
    from edge_fm_runtime.batch.workers.inference import label_rows
    from edge_fm_runtime.image.opencv import cv2

    cv2.setNumThreads(1)
    limit_memory(job.memory_bytes)
    deadline.give_up = None  # from now on, the parent kills a worker that hangs, and knows at which input
    send(answers, None)
    begun = 0

    def begin(position: int) -> None:
        nonlocal begun
        begun += 1
        POSITION.pack_into(shared, 0, begun, position)

    while True:
        try:
            inputs: list[str] = receive(requests)
        except EOFError:
            return
        try:
            lines = list(label_rows(classifier, inputs, job.options, begin))
        except MemoryError:
            os._exit(_OUT_OF_MEMORY)
        send(answers, lines)


if __name__ == "__main__":
    main()
