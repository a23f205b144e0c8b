"""A worker's process and the small file that it writes its position to. Light: it may start before all else is loaded."""

import contextlib
import mmap
import os
import struct
import subprocess
import sys
import tempfile
from typing import IO

POSITION = struct.Struct("<QQ")
"""A counter of inputs begun, and the position of the one in hand."""


class WorkerProcess:
    """A running `edge_fm_runtime.batch.worker`.

    Attributes:
        requests: its standard input.
        answers: its standard output.
    """

    def __init__(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="edge-fm-")
        os.write(handle, bytes(POSITION.size))
        self._shared = mmap.mmap(handle, POSITION.size)
        os.close(handle)
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", "edge_fm_runtime.batch.worker", self._path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "MALLOC_ARENA_MAX": "2",
            },  # else each thread's heap counts against the memory limit
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        if (
            self._process.stdin is None or self._process.stdout is None
        ):  # pragma: no cover - pipes were asked for
            raise TypeError
        self.requests: IO[bytes] = self._process.stdin
        self.answers: IO[bytes] = self._process.stdout

    def progress(self) -> tuple[int, int]:
        """Return how many inputs were begun, and the position of the one in hand."""
        begun, position = POSITION.unpack_from(self._shared)
        return begun, position

    def reset(self) -> None:
        """Forget what was begun."""
        POSITION.pack_into(self._shared, 0, 0, 0)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """End it and clean up; twice does no harm."""
        self._process.kill()
        self._process.wait()
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)


_early: list[WorkerProcess] = []


def start_early() -> None:
    """Start the first worker of the run to come, so that it loads its libraries while this process does other things.

    Should no run come, it ends with this process, whose end closes its standard input.
    """
    _early.append(WorkerProcess())


def take() -> WorkerProcess:
    """Return the worker that was started early, or a new one."""
    return _early.pop() if _early else WorkerProcess()


def discard() -> None:
    """End a worker that was started early and not taken."""
    while _early:
        _early.pop().close()
