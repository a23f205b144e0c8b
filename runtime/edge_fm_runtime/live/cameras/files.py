"""Feeds that end: a video file, or a folder as a slide show; no frame is dropped."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import InputError, SourceError
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.live.cameras.base import BgrImage, Frame

DEFAULT_RATE = 25.0
"""Frames per second of a video that states none."""

_TOGETHER = 4
"""Largest number of frames handed over at once, since each hand-over wakes a thread."""

_POLL_S = 0.05
_CLOSE_S = 2.0


class _Clock:
    """Times the frames; after a delay it continues at the normal rate."""

    def __init__(self, period_s: float, *, fast: bool) -> None:
        self.period_s, self.fast = period_s, fast
        self._due_s = time.monotonic()

    def is_due(self, wait_s: float) -> bool:
        """Wait until the next frame is due, at most `wait_s`; return whether it is."""
        if self.fast:
            return True
        left_s = self._due_s - time.monotonic()
        if left_s > wait_s:
            time.sleep(wait_s)
            return False
        if left_s > 0:
            time.sleep(left_s)
        now_s = time.monotonic()
        self._due_s = (self._due_s if now_s - self._due_s < self.period_s else now_s) + self.period_s
        return True


class VideoFile:
    """Frames of a video file, at its own rate or as fast as possible, decoded ahead by a thread."""

    dropped = 0
    notice = ""

    def __init__(
        self, capture: cv2.VideoCapture, name: str, *, fast: bool, greys: NDArray[np.uint8] | None = None
    ) -> None:
        """Start to decode.

        Args:
            capture: opened.
            name: for messages.
            fast: flat out.
            greys: what the levels stand for, of a capture that gives luma; see `luma`.
        """
        self._capture, self._name, self._greys = capture, name, greys
        rate = capture.get(cv2.CAP_PROP_FPS)
        self._clock = _Clock(1 / (rate if 0 < rate < 1000 else DEFAULT_RATE), fast=fast)  # noqa: PLR2004
        self._frames = 0
        self.ended = False
        self._ahead: queue.Queue[list[BgrImage | None]] = queue.Queue(1)
        self._fetched: list[BgrImage | None] = []
        self._closing = False
        self._thread = threading.Thread(target=self._decode, name="edge-fm video", daemon=True)
        self._thread.start()

    def read(self, wait_s: float) -> list[Frame]:
        """Return the next frame once it is due, all waiting ones when fast; none at the end.

        Raises:
            SourceError: not even the first frame can be decoded.
        """
        if self.ended:
            return []
        if not self._fetched:
            try:
                self._fetched = self._ahead.get(timeout=wait_s)
            except queue.Empty:
                return []
        if not self._clock.is_due(wait_s):
            return []
        count = len(self._fetched) if self._clock.fast else 1
        due, self._fetched = self._fetched[:count], self._fetched[count:]
        self.ended = due[-1] is None
        due_frames = [self._frame(frame) for frame in due if frame is not None]
        if self._frames == 0:
            raise SourceError(f"{self._name} has no frame that can be decoded: is it a whole video file?")
        return due_frames

    def _frame(self, frame: BgrImage) -> Frame:
        at_s = self._frames * self._clock.period_s
        self._frames += 1
        return Frame(frame, time.monotonic(), at_s, self._greys)

    def close(self) -> None:
        """Stop decoding and close the file; a thread that hangs in its decoder ends with the process."""
        self._closing = True
        ends_s = time.monotonic() + _CLOSE_S
        while self._thread.is_alive() and time.monotonic() < ends_s:
            with contextlib.suppress(queue.Empty):
                self._ahead.get(timeout=_POLL_S)
        if not self._thread.is_alive():
            self._capture.release()

    def _decode(self) -> None:
        """Fill the queue until the end, marked by None, or until closed."""
        ready: list[BgrImage | None] = []
        try:
            while not self._closing:
                read, frame = self._capture.read()
                if not read or not frame.size:
                    return
                ready.append(as_uint8(frame))
                if len(ready) == _TOGETHER or self._ahead.empty():
                    self._ahead.put(ready)
                    ready = []
        except (cv2.error, TypeError):  # what cannot be decoded ends the feed, as a truncated file does
            pass
        finally:
            self._ahead.put([*ready, None])


class SlideShow:
    """Images of a folder in turn; one that cannot be read is skipped with a message."""

    dropped = 0

    def __init__(self, paths: Sequence[Path], period_s: float, *, fast: bool) -> None:
        self._left, self._clock = list(reversed(paths)), _Clock(period_s, fast=fast)
        self._shown = 0
        self.notice = ""
        self.ended = False

    def read(self, wait_s: float) -> list[Frame]:
        """Return the next image once it is due; none before that and at the end.

        Raises:
            SourceError: none of them can be read.
        """
        if self.ended or not self._clock.is_due(wait_s):
            return []
        while self._left:
            path = self._left.pop()
            try:
                frame = preprocess.frame_from_bytes(guard.read_file(path))
            except InputError as error:
                self.notice = f"{path.name} was passed over: {error}"
                continue
            at_s = self._shown * self._clock.period_s
            self._shown += 1
            return [Frame(frame, time.monotonic(), at_s)]
        self.ended = True
        if self._shown == 0:
            raise SourceError(f"no picture of the folder can be read: {self.notice}")
        return []

    def close(self) -> None:
        """Do nothing: nothing stays open."""
