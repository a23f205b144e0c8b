"""Supervise one worker process: start it with its first chunk, time its inputs, end it."""

import threading
import time
from dataclasses import dataclass

from edge_fm_runtime.batch.workers.launcher import Starter
from edge_fm_runtime.batch.workers.process import WorkerProcess
from edge_fm_runtime.batch.workers.protocol import Job, receive, send
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.status import Status

START_S = 20.0
"""Smallest time limit in seconds for a worker to load its libraries and the model."""


@dataclass(frozen=True)
class Chunk:
    """Inputs of one message to a worker.

    Attributes:
        indices: their places in the run.
        inputs: their locators.
        retry: whether this is the second time, alone.
    """

    indices: tuple[int, ...]
    inputs: tuple[str, ...]
    retry: bool = False

    def part(self, start: int, stop: int, *, retry: bool = False) -> "Chunk":
        """Return the inputs from `start` up to `stop`."""
        return Chunk(self.indices[start:stop], self.inputs[start:stop], retry)

    def without(self, position: int) -> "Chunk":
        """Return the chunk without one input."""
        return Chunk(
            self.indices[:position] + self.indices[position + 1 :],
            self.inputs[:position] + self.inputs[position + 1 :],
        )


class WorkerLost(Exception):  # noqa: N818  # not the user's error: a file's row will say it
    """A worker died, or was killed for hanging, at this input."""

    def __init__(self, status: Status, position: int) -> None:
        super().__init__(status)
        self.status, self.position = status, position


class NotStarted(Exception):  # noqa: N818  # tried again, and only then the user's error
    """A worker ended, or was killed for hanging, before it had opened the model."""


class Worker:
    """One worker process, started by its first chunk, and the time it has spent on one input."""

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        self._process: WorkerProcess | None = None
        self._seen = 0
        self._seen_s = time.monotonic()
        self._busy = False
        self.timed_out = False
        self._started = False
        self._closing = threading.Lock()
        self._closed = False

    def label(self, job: Job, chunk: Chunk) -> list[bytes]:
        """Return the encoded rows of a chunk.

        Args:
            job: what the worker is for; sent once.
            chunk: the inputs.

        Raises:
            NotStarted: it ended or hung before it could begin.
            WorkerLost: it died or hung.
            EdgeFmError: the model cannot be opened.
        """
        try:
            self._begin()
            running = self._process or self._start()
            if not self._started:
                send(running.requests, job)
                refusal = receive(running.answers)
                if isinstance(refusal, EdgeFmError):
                    raise refusal
                self._started = True
                self._begin()
            send(running.requests, list(chunk.inputs))
            lines: list[bytes] = receive(running.answers)
        except (EOFError, OSError):
            if not self._started or self._process is None:
                raise NotStarted from None
            position = self._process.progress()[1]
            raise WorkerLost(Status.TIMEOUT if self.timed_out else Status.CRASHED, position) from None
        finally:
            self._busy = False
        return lines

    def _start(self) -> WorkerProcess:
        """Start the process, and end it at once if the run is over.

        Raises:
            EOFError: it cannot be started, or is not wanted any more.
            OSError: it cannot be started.
        """
        running = self.starter.start()
        with self._closing:
            if self._closed:
                running.close()
                raise EOFError
            self._process = running
        return running

    def _begin(self) -> None:
        if self._process is not None:
            self._process.reset()
        self._seen, self._seen_s, self._busy = 0, time.monotonic(), True

    def watch(self, timeout_s: float) -> None:
        """Kill the process if one input took longer than the limit; called from another thread."""
        if not self._busy:
            return
        running = self._process
        begun = running.progress()[0] if running is not None else 0
        if begun != self._seen:
            self._seen, self._seen_s = begun, time.monotonic()
        elif time.monotonic() - self._seen_s > (timeout_s if self._started else max(timeout_s, START_S)):
            self.timed_out = True
            if running is not None:
                running.kill()
            else:
                self.starter.interrupt()

    def kill(self) -> None:
        """End the process without waiting for it."""
        with self._closing:
            self._closed = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process; twice does no harm."""
        self.kill()
        if self._process is not None:
            self._process.close()
