"""Manage the workers of a run: hand out chunks, replace lost workers, report the input that broke one.

A worker that hangs on a file is killed; one that dies is noticed. The file in hand is tried once more, alone,
in a new worker; if it does it again, its row says `timeout` or `crashed`. The rest of its chunk is done
again: rows depend on nothing but their input, so nothing differs.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self

from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.outputs.rows import Row, Stamp, encode
from edge_fm_runtime.batch.workers import launcher
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.batch.workers.supervised_process import Chunk, NotStarted, Worker, WorkerLost
from edge_fm_runtime.errors import EdgeFmError, InputError
from edge_fm_runtime.status import Status

_POLL_S = 0.05
_STARTS = 3


class Pool:
    """Worker processes of one run, each served by its own thread."""

    def __init__(self, job: Job, workers: int, timeout_s: float) -> None:
        """Create a pool and start its workers.

        Args:
            job: what they are for.
            workers: how many.
            timeout_s: how long one input may take, twice.
        """
        self._job, self._timeout_s = job, timeout_s
        self._starter = launcher.take()
        self._workers = [Worker(self._starter) for _ in range(workers)]
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
        """Yield chunks with their encoded rows, in any order; every input comes exactly once.

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

    def _serve(self, waiting: "deque[Chunk]", worker: Worker) -> None:
        """Give one worker chunks until none is left; replace it if it is lost."""
        failed_starts = 0
        try:
            while not self._closed:
                chunk = self._next(waiting)
                if chunk is None:
                    return
                try:
                    self._results.put((chunk, worker.label(self._job, chunk)))
                    failed_starts = 0
                except NotStarted:
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
                except WorkerLost as lost:
                    if self._closed:
                        return
                    worker = self._replace(worker)
                    self._divide(chunk, lost, waiting)
        except BaseException as error:  # noqa: BLE001  # it is raised in the main thread
            self._results.put(error)

    def _next(self, waiting: "deque[Chunk]") -> Chunk | None:
        """Take the next chunk, half of the last one; None if there is none."""
        with self._lock:
            if not waiting:
                return None
            chunk = waiting.popleft()
            count = len(chunk.indices)
            if not waiting and count > 1 and len(self._workers) > 1:
                waiting.append(chunk.part(count // 2, count))
                return chunk.part(0, count // 2)
            return chunk

    def _replace(self, worker: Worker, *, anew: bool = False) -> Worker:
        """Return a worker in place of a lost one; `anew` replaces the starter too."""
        worker.close()
        with self._lock:
            if anew and worker.starter is self._starter and not self._closed:
                self._starter.close()
                self._starter = launcher.take()
            self._workers.remove(worker)
            fresh = Worker(self._starter)
            self._workers.append(fresh)
        return fresh

    def _divide(self, chunk: Chunk, lost: WorkerLost, waiting: "deque[Chunk]") -> None:
        """Requeue the chunk of a lost worker; an input that broke a worker twice alone gets its row."""
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
