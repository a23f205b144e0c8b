"""Fetch files at URLs ahead of their decoding; loaded for URLs only, since it takes 7 ms."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.errors import InputError, SourceError
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.status import Status

_DEADLINE_S = 120.0
"""Time limit for all tries together, in seconds."""

_AT_ONCE = 8
"""Concurrent requests per worker."""

_ALIVE_S = 0.5


class Fetch:
    """One file that is being fetched."""

    def __init__(self, future: Future[bytes], started: Callable[[], float | None]) -> None:
        self._future, self._started = future, started

    def wait(self, alive: Callable[[], None]) -> None:
        """Wait until it is fetched or given up.

        Args:
            alive: called twice a second meanwhile.
        """
        while not self._late():
            try:
                self._future.result(timeout=_ALIVE_S)
            except TimeoutError:
                alive()
            except (InputError, CancelledError):
                return
            else:
                return

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            InputError: it could not be had.
        """
        if not self._future.done() and self._late():
            raise InputError(Status.TIMEOUT, f"could not be fetched within {_DEADLINE_S:g} s")
        return self._future.result()

    def close(self) -> None:
        """Cancel the request if it has not begun."""
        self._future.cancel()

    def _late(self) -> bool:
        started_s = self._started()
        return started_s is not None and time.monotonic() - started_s > _DEADLINE_S


class Fetcher:
    """Fetches several files concurrently."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")

    def begin(self, url: str, extent: tuple[int, int] | None = None) -> Fetch:
        """Start to fetch a file.

        Args:
            url: of the file.
            extent: where in the file to begin, and how many bytes to fetch; None for all.
        """
        started: list[float] = []

        def fetch() -> bytes:
            started.append(time.monotonic())
            return _fetched(url, extent, self._limits)

        return Fetch(self._threads.submit(fetch), lambda: started[0] if started else None)

    def close(self) -> None:
        """Start no further request."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _fetched(url: str, extent: tuple[int, int] | None, limits: Limits) -> bytes:
    """Return the bytes of a file or a part of it; retry after failures of network or server."""
    try:
        system, path = remote.place(url)
    except SourceError as error:
        raise InputError(Status.UNREADABLE, str(error)) from None
    # One byte more than is allowed, so that nothing larger is ever taken in.
    start, size = extent if extent is not None else (0, limits.max_bytes + 1)
    reason = ""
    for attempt in range(remote.TRIES):
        if attempt:
            remote.pause(attempt)
        try:
            data: bytes = system.cat_file(path, start=start, end=start + size)
        except FileNotFoundError:
            raise InputError(
                Status.MISSING, "there is nothing at this URL: it may have been moved or deleted"
            ) from None
        except PermissionError:
            raise InputError(Status.UNREADABLE, "access is refused: check the credentials") from None
        except Exception as error:  # noqa: BLE001  # whatever a protocol's library raises
            if extent is None and _is_beyond_the_end(error):
                return b""
            reason = type(error).__name__
            continue
        if len(data) > limits.max_bytes:
            raise InputError(Status.TOO_LARGE, f"more bytes than the limit of {limits.max_bytes:,}")
        if extent is None or len(data) == size:
            return data
        reason = "cut off"
    status = Status.TIMEOUT if "Timeout" in reason else Status.UNREADABLE
    raise InputError(status, f"could not be fetched in {remote.TRIES} tries ({reason})")


def _is_beyond_the_end(error: Exception) -> bool:
    """Return whether a server reports that an empty file has no first byte."""
    return "416" in str(error) or "InvalidRange" in str(error) or "not satisfiable" in str(error)
