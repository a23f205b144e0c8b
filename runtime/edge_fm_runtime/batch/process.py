"""Worker processes: their pipes, the memory that they write their position to, how they are started. Light: it may run before all else is loaded."""

import contextlib
import mmap
import os
import struct
import subprocess
import sys
from typing import IO, Protocol

POSITION = struct.Struct("<QQ")
"""A counter of inputs begun, and the position of the one in hand."""

ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",  # else each thread's heap counts against the memory limit
    # Else what a large picture took goes back to the system, and comes again page by page for the next one (mallopt(3)).
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
    """A running `edge_fm_runtime.batch.worker`.

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


class Starter(Protocol):
    """What starts the workers of one run."""

    def start(self) -> WorkerProcess:
        """Return a new worker.

        Raises:
            EOFError: what should start it is gone.
            OSError: the same.
        """

    def interrupt(self) -> None:
        """Have a `start` that waits in another thread fail."""

    def close(self) -> None:
        """End what was started and not handed out, and what starts; workers are ended by who has them."""


class Spawner:
    """Starts each worker as a program of its own, the first one at once."""

    def __init__(self) -> None:
        self._ready = [_spawned()]

    def start(self) -> WorkerProcess:
        """Return a new worker; see `Starter`."""
        return self._ready.pop() if self._ready else _spawned()

    def interrupt(self) -> None:
        """Do nothing: no start waits."""

    def close(self) -> None:
        """End the worker that nobody took."""
        while self._ready:
            self._ready.pop().close()


def _spawned() -> WorkerProcess:
    import tempfile  # not above: it takes as long to load as all else that a fork server needs to begin

    handle, path = tempfile.mkstemp(prefix="edge-fm-")  # the worker removes it
    os.write(handle, bytes(POSITION.size))
    shared = mmap.mmap(handle, POSITION.size)
    os.close(handle)
    process = run_module("worker", path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdin is None or process.stdout is None:  # pragma: no cover - pipes were asked for
        raise TypeError
    return WorkerProcess(process, process.stdin, process.stdout, shared)


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


_early: list[Starter] = []


def start_early() -> None:
    """Have libraries loaded for the run to come, while this process does other things.

    Should no run come, what was started ends with this process, whose end closes its standard input.
    """
    _early.append(_starter())


def take() -> Starter:
    """Return what was started early, or begin now."""
    return _early.pop() if _early else _starter()


def discard() -> None:
    """End what was started early and not taken."""
    while _early:
        _early.pop().close()


def _starter() -> Starter:
    from edge_fm_runtime.batch.fork_server import ForkServer

    return ForkServer() if ForkServer.is_possible() else Spawner()
