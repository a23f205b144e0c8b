"""Load the libraries once and fork workers from that process (Linux).

Its standard input is one end of a socket pair. The other end sends a byte with three descriptors, of the
worker's requests, answers and position; it forks, and sends back a descriptor of the new process
(pidfd_open(2)), by which that one can be ended, although it is no child of the other end and its number may
have been used again. At the end of the socket it ends; a worker ends with its own pipe.

It has one thread and no session of onnxruntime, so nothing that fork leaves behind is missed.
"""

import contextlib
import gc
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import IO

from edge_fm_runtime.batch.workers.process import WorkerProcess, run_module
from edge_fm_runtime.batch.workers.protocol import POSITION
from edge_fm_runtime.errors import EdgeFmError

_REQUEST = b"f"
_DESCRIPTORS = 3


class ForkServer:
    """Parent's side of the fork server; a `Starter`."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = run_module("fork_server", stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
        self._lock = threading.Lock()

    @staticmethod
    def is_possible() -> bool:
        """Return whether this system can: Linux 5.3 or newer, without a sandbox that forbids it."""
        if not sys.platform.startswith("linux"):
            return False
        try:
            own = os.pidfd_open(os.getpid())
            try:
                signal.pidfd_send_signal(own, 0)  # none: only whether it could be
            finally:
                os.close(own)
        except OSError:
            return False
        return True

    def start(self) -> WorkerProcess:
        """Return a forked worker; see `Starter`."""
        given, requests = os.pipe()
        answers, taken = os.pipe()
        position = os.memfd_create("edge-fm")
        os.ftruncate(position, POSITION.size)
        shared = mmap.mmap(position, POSITION.size)
        streams = (os.fdopen(requests, "wb"), os.fdopen(answers, "rb"))
        try:
            with self._lock:
                forked = _Forked(self._fork(given, taken, position))
        except BaseException:
            for stream in streams:
                stream.close()
            raise
        finally:
            for descriptor in (given, taken, position):
                os.close(descriptor)
        return WorkerProcess(forked, *streams, shared)

    def _fork(self, *descriptors: int) -> int:
        """Fork a worker with these descriptors; raise EOFError if the server is gone."""
        socket.send_fds(self._control, [_REQUEST], descriptors)
        _, received, _, _ = socket.recv_fds(self._control, 1, 1)
        if not received:
            raise EOFError
        return received[0]

    def interrupt(self) -> None:
        """Make a waiting `start` fail: the libraries hang, or the process was stopped."""
        if self._lock.locked():
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._control.close()


class _Forked:
    """Process behind a pidfd."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)  # a process that has ended can be read
        poll.poll()


def main() -> None:
    """Load the libraries, then fork a worker for each request, until the socket ends."""
    gc.disable()  # nothing that libraries make while they load is garbage, and looking for it takes a tenth of the time
    from edge_fm_runtime.batch.workers import child

    with contextlib.suppress(EdgeFmError):  # each worker raises and reports it itself
        child.load_libraries()
    gc.freeze()  # else a worker's first collection writes to, and so copies, every page that it shares
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no worker that has ended lingers
    control = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, _DESCRIPTORS)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become_worker(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        process = os.pidfd_open(pid)
        socket.send_fds(control, [_REQUEST], [process])
        os.close(process)


def _become_worker(descriptors: list[int]) -> None:
    """Serve in a forked process, and exit without the server's own clean-up."""
    from edge_fm_runtime.batch.workers import child

    given, taken, position = descriptors
    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        requests: IO[bytes] = os.fdopen(given, "rb")
        child.serve(requests, os.fdopen(taken, "wb"), mmap.mmap(position, POSITION.size))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
