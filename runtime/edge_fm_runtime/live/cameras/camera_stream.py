"""Read a camera or stream in a thread: keep only the newest frame, reconnect a lost source."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import as_uint8
from edge_fm_runtime.live.cameras.base import Frame

FIRST_FRAME_S = 10.0
"""Seconds that an opened source may take for its first frame."""

_LOST_S = 2.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_FAILED_READ_S = 0.01


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        """Return whether the source is open."""
        ...

    def read(self) -> tuple[bool, Any]:
        """Return whether a frame came, and the frame."""
        ...

    def release(self) -> None:
        """Close the source."""
        ...


class CameraStream:
    """Newest frame of a source that does not wait for its reader.

    A frame that cannot be decoded is no unplug: only a source that gives nothing for two seconds is let go
    and opened anew, after half a second at first, then after waits that double up to half a minute, for as
    long as it takes.
    """

    def __init__(
        self, opener: Callable[[], Capture], name: str, remedy: str, *, reopens: bool = True
    ) -> None:
        """Open the source and start the thread.

        Args:
            opener: opens it, now and after each loss.
            name: for messages.
            remedy: what to try if it cannot be opened.
            reopens: whether it may come back; if not, its end is the end of the feed.

        Raises:
            SourceError: it cannot be opened.
        """
        self._opener, self._name, self._reopens = opener, name, reopens
        self._condition = threading.Condition()
        self._newest: Frame | None = None
        self._closing = threading.Event()
        self._frames = 0
        self._opened_s = time.monotonic()
        self.dropped = 0
        self.reconnects = 0
        self.notice = ""
        self.ended = False
        capture = opener()
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"{name} cannot be opened: {remedy}")
        self._thread = threading.Thread(
            target=self._serve, args=(capture,), name="edge-fm camera", daemon=True
        )
        self._thread.start()

    def read(self, wait_s: float) -> list[Frame]:
        """Return a frame newer than the last one; none after `wait_s` or the end.

        Raises:
            SourceError: it was opened but never gave a frame.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._newest is not None or self.ended, wait_s)
            newest, self._newest = self._newest, None
        if newest is None and not self._frames:
            silent_s = time.monotonic() - self._opened_s
            if self.ended or silent_s > FIRST_FRAME_S:
                raise SourceError(
                    f"{self._name} gave no frame{'' if self.ended else f' for {silent_s:.0f} s'}: "
                    "is another program using it, or does it send what OpenCV cannot decode?"
                )
        return [] if newest is None else [newest]

    def close(self) -> None:
        """Stop the thread; one that hangs in its source ends with the process."""
        self._closing.set()
        self._thread.join(timeout=_LOST_S)

    def _serve(self, capture: Capture) -> None:
        """Read the source, reconnecting it when lost, until closed."""
        waits = _growing_waits()
        while True:
            if self._grab(capture):
                waits = _growing_waits()
            capture.release()
            if self._closing.is_set():
                return
            if not self._reopens:
                break
            wait_s = next(waits)
            self.notice = (
                f"{self._name} is lost: trying again every {wait_s:.0f} s"
                if wait_s >= 1
                else f"{self._name} is lost"
            )
            if self._closing.wait(wait_s):
                return
            capture = self._opener()
            self.reconnects += 1
        with self._condition:
            self.ended = True
            self._condition.notify()

    def _grab(self, capture: Capture) -> bool:
        """Keep the newest frame until the source falls silent; return whether it ever gave one."""
        gave, last_s = False, time.monotonic()
        while capture.isOpened() and not self._closing.is_set():
            read, frame = capture.read()
            now_s = time.monotonic()
            if read and frame is not None and frame.size:
                gave, last_s, self.notice = True, now_s, ""
                with self._condition:
                    self.dropped += self._newest is not None
                    self._frames += 1
                    self._newest = Frame(as_uint8(frame), now_s, now_s)
                    self._condition.notify()
            elif now_s - last_s > _LOST_S:
                break
            else:
                time.sleep(_FAILED_READ_S)
        return gave


def _growing_waits() -> "itertools.chain[float]":
    doubling = itertools.takewhile(
        lambda s: s < _LONGEST_WAIT_S, (_FIRST_WAIT_S * 2**n for n in itertools.count())
    )
    return itertools.chain(doubling, itertools.repeat(_LONGEST_WAIT_S))
