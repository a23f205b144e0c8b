"""Start worker processes: forked from a server, or as programs; light, since it runs first."""

import mmap
import os
import subprocess
from typing import Protocol

from edge_fm_runtime.batch.workers.process import WorkerProcess, run_module
from edge_fm_runtime.batch.workers.protocol import POSITION


class Starter(Protocol):
    """Starts the workers of one run."""

    def start(self) -> WorkerProcess:
        """Return a new worker.

        Raises:
            EOFError: what should start it is gone.
            OSError: the same.
        """

    def interrupt(self) -> None:
        """Make a `start` that waits in another thread fail."""

    def close(self) -> None:
        """End unused workers and the starter itself; workers in use are ended by their owners."""


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
    process = run_module("child", path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdin is None or process.stdout is None:  # pragma: no cover - pipes were asked for
        raise TypeError
    return WorkerProcess(process, process.stdin, process.stdout, shared)


_early: list[Starter] = []


def start_early() -> None:
    """Load the libraries for the coming run in the background.

    Should no run come, what was started ends with this process, whose end closes its standard input.
    """
    _early.append(_starter())


def take() -> Starter:
    """Return the starter of `start_early`, or a new one."""
    return _early.pop() if _early else _starter()


def discard() -> None:
    """End a starter that nobody took."""
    while _early:
        _early.pop().close()


def _starter() -> Starter:
    from edge_fm_runtime.batch.workers.fork_server import ForkServer

    return ForkServer() if ForkServer.is_possible() else Spawner()
