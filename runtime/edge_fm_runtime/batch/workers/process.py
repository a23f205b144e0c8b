"""A worker process as its parent sees it: pipes, shared position, end."""

import contextlib
import mmap
import os
import subprocess
import sys
from typing import IO, Protocol

from edge_fm_runtime.batch.workers.protocol import POSITION

ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",  # else each thread's heap counts against the memory limit
    # Else what a large picture took goes back to the system, and comes again page by page for the next one
    # (mallopt(3)).
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "OPENBLAS_NUM_THREADS": "1",  # NumPy would start a thread for each core, and two matrices of 28 rows need none
}


class Handle(Protocol):
    """A process that can be ended."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> object:
        """Wait for its end."""


class WorkerProcess:
    """A running `edge_fm_runtime.batch.workers.child`.

    Attributes:
        requests: what it reads.
        answers: what it writes.
    """

    def __init__(self, handle: Handle, requests: IO[bytes], answers: IO[bytes], shared: mmap.mmap) -> None:
        self.requests, self.answers = requests, answers
        self._handle, self._shared = handle, shared

    def progress(self) -> tuple[int, int]:
        """Return how many inputs were begun, and the position of the one in hand."""
        begun, position = POSITION.unpack_from(self._shared)
        return begun, position

    def reset(self) -> None:
        """Forget what was begun."""
        POSITION.pack_into(self._shared, 0, 0, 0)

    def kill(self) -> None:
        """End it at once."""
        self._handle.kill()

    def close(self) -> None:
        """End it and clean up; twice does no harm."""
        self._handle.kill()
        self._handle.wait()
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()


def run_module(name: str, *arguments: str, stdin: int, stdout: int) -> "subprocess.Popen[bytes]":
    """Start a module of this package as a program.

    Args:
        name: of the module.
        arguments: for it.
        stdin: a descriptor, or `subprocess.PIPE`.
        stdout: the same, or `subprocess.DEVNULL`.
    """
    return subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", f"{__package__}.{name}", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        start_new_session=True,  # Ctrl-C is the parent's to handle
    )
