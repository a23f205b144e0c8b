"""The parent's side of the workers: hand out chunks, watch, and give each file that breaks a worker its row.

A worker that hangs on a file is killed; one that dies is noticed. The file in hand is tried once more, alone, in a
new worker; if it does it again, its row says `timeout` or `crashed`. The rest of its chunk is done again: rows depend on
nothing but their input, so nothing differs.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from edge_fm_runtime.batch import locators, process
from edge_fm_runtime.batch.process import Starter, WorkerProcess
from edge_fm_runtime.batch.protocol import Job, receive, send
from edge_fm_runtime.batch.rows import Row, Stamp, encode
from edge_fm_runtime.errors import EdgeFmError, InputError
from edge_fm_runtime.status import Status

_POLL_S = 0.05
_STARTS = 3

START_S = 20.0
"""How long a worker may take to load its libraries and the model, at least."""


@dataclass(frozen=True)
class Chunk:
    """Inputs for one message to a worker.

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
        """Return all inputs but one."""
        return Chunk(
            self.indices[:position] + self.indices[position + 1 :],
            self.inputs[:position] + self.inputs[position + 1 :],
        )


class _WorkerLost(Exception):  # noqa: N818  # not the user's error: a file's row will say it
    """A worker died or was killed for hanging, with this input in hand."""

    def __init__(self, status: Status, position: int) -> None:
        super().__init__(status)
        self.status, self.position = status, position


class _NotStarted(Exception):  # noqa: N818  # tried again, and only then the user's error
    """A worker ended, or was killed for hanging, before it had opened the model."""


class _Worker:
    """One worker process, started by its first chunk, and since when it has been at one input."""

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
        """Return the chunk's journal lines.

        Args:
            job: what the worker is for; told it once.
            chunk: the inputs.

        Raises:
            _NotStarted: it ended or hung before it could begin.
            _WorkerLost: it died or hung.
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
                raise _NotStarted from None
            position = self._process.progress()[1]
            raise _WorkerLost(Status.TIMEOUT if self.timed_out else Status.CRASHED, position) from None
        finally:
            self._busy = False
        return lines

    def _start(self) -> WorkerProcess:
        """Start the process, and end it at once if it is too late for it.

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
        """Kill the process if it has been at one input for longer; called now and then from another thread."""
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
        """End the process, and do not wait for it."""
        with self._closing:
            self._closed = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process; twice does no harm."""
        with self._closing:
            self._closed = True
        if self._process is not None:
            self._process.close()


class Pool:
    """Worker processes for one run, each served by a thread of its own."""

    def __init__(self, job: Job, workers: int, timeout_s: float) -> None:
        """Make a pool and begin to start its workers.

        Args:
            job: what they are for.
            workers: how many.
            timeout_s: how long one input may take, twice.
        """
        self._job, self._timeout_s = job, timeout_s
        self._starter = process.take()
        self._workers = [_Worker(self._starter) for _ in range(workers)]
        self._lock = threading.Lock()
        self._results: queue.Queue[tuple[Chunk, list[bytes]] | BaseException] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for worker in self._workers:
            worker.kill()  # all at once: giving back its memory takes each a few milliseconds
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            while thread.is_alive():
                self._starter.interrupt()  # of a start that has only now begun, which nobody watches any more
                thread.join(_POLL_S)
        for worker in self._workers:  # one that a thread started meanwhile
            worker.close()
        self._starter.close()

    def label(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[bytes]]]:
        """Yield chunks with their journal lines, as they are done, in any order; every input comes exactly once.

        Taken to its end, it can be called again, and the same workers go on.

        Raises:
            EdgeFmError: the model cannot be opened.
        """
        left = sum(len(chunk.indices) for chunk in chunks)
        waiting = deque(chunks)
        for thread in self._threads:
            thread.join()
        self._threads = [
            threading.Thread(target=self._serve, args=(waiting, worker), daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()
        while left:
            try:
                result = self._results.get(timeout=_POLL_S)
            except queue.Empty:
                pass
            else:
                if isinstance(result, BaseException):
                    raise result
                left -= len(result[0].indices)
                yield result
            for worker in list(self._workers):
                worker.watch(self._timeout_s)

    def _serve(self, waiting: "deque[Chunk]", worker: _Worker) -> None:
        """Give one worker chunks until none is left; replace it when it is lost."""
        failed_starts = 0
        try:
            while not self._closed:
                chunk = self._next(waiting)
                if chunk is None:
                    return
                try:
                    self._results.put((chunk, worker.label(self._job, chunk)))
                    failed_starts = 0
                except _NotStarted:
                    waiting.appendleft(chunk)
                    failed_starts += 1
                    if self._closed:
                        return
                    if failed_starts == _STARTS:
                        raise EdgeFmError(
                            f"worker processes ended {_STARTS} times before they could begin: "
                            "run 'edge-fm doctor', or give them more --memory"
                        ) from None
                    worker = self._replace(worker, anew=True)
                except _WorkerLost as lost:
                    if self._closed:
                        return
                    worker = self._replace(worker)
                    self._divide(chunk, lost, waiting)
        except BaseException as error:  # noqa: BLE001  # it is raised in the main thread
            self._results.put(error)

    def _next(self, waiting: "deque[Chunk]") -> Chunk | None:
        """Take the next chunk, None if there is none; of the last one only half, so that all workers end together."""
        with self._lock:
            if not waiting:
                return None
            chunk = waiting.popleft()
            count = len(chunk.indices)
            if not waiting and count > 1 and len(self._workers) > 1:
                waiting.append(chunk.part(count // 2, count))
                return chunk.part(0, count // 2)
            return chunk

    def _replace(self, worker: _Worker, *, anew: bool = False) -> _Worker:
        """Return another worker in the place of a lost one; anew: what starts them is replaced too, as it may be gone."""
        worker.close()
        with self._lock:
            if anew and worker.starter is self._starter and not self._closed:
                self._starter.close()
                self._starter = process.take()
            self._workers.remove(worker)
            fresh = _Worker(self._starter)
            self._workers.append(fresh)
        return fresh

    def _divide(self, chunk: Chunk, lost: _WorkerLost, waiting: "deque[Chunk]") -> None:
        """Hand out again what a lost worker had; an input that was alone for the second time gets its row."""
        count = len(chunk.indices)
        if count == 1 and chunk.retry:
            self._results.put(
                (chunk, [_row(chunk.inputs[0], lost.status, self._timeout_s, self._job.memory_bytes)])
            )
        elif lost.position < count:
            waiting.appendleft(chunk.part(lost.position, lost.position + 1, retry=True))
            if count > 1:
                waiting.appendleft(chunk.without(lost.position))
        elif count == 1:  # lost during the inference, as below
            waiting.appendleft(Chunk(chunk.indices, chunk.inputs, retry=True))
        else:  # lost during an inference: any of them
            waiting.appendleft(chunk.part(count // 2, count))
            waiting.appendleft(chunk.part(0, count // 2))


def _row(locator: str, status: Status, timeout_s: float, memory_bytes: int) -> bytes:
    reasons = {
        Status.TIMEOUT: f"twice took longer than {timeout_s:g} s; --timeout sets the limit",
        Status.CRASHED: f"twice ended its worker process, or needed more than {memory_bytes >> 20} MiB; --memory sets the limit",
    }
    row = Row.failed(locators.text(locator), InputError(status, reasons[status]))
    return encode(row, Stamp(*locators.stamp(locator)))
