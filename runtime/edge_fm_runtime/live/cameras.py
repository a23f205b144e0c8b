"""Where frames come from: a camera index, a device, a video file or a stream's URL.

A camera or stream is live: only its newest frame counts. A file plays at its own rate, every frame in turn.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.opencv import as_uint8, cv2

Frame = NDArray[np.uint8]
"""(height, width, 3) uint8 in blue, green, red order."""

_SILENCE_S = 5.0
_FIRST_FRAME_S = 10.0
_URL_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")


@dataclass(frozen=True)
class Shot:
    """A frame and when it was taken, in seconds of `time.monotonic`."""

    frame_bgr: Frame
    taken_s: float


class Camera(Protocol):
    """Anything that gives frames."""

    def read(self) -> Shot | None:
        """Return the next frame, None at the end."""
        ...

    def close(self) -> None:
        """Let go of the device or file."""
        ...


class VideoFile:
    """A video file's frames in turn, at its own rate or flat out."""

    def __init__(self, capture: cv2.VideoCapture, name: str, *, fast: bool) -> None:
        self._capture, self._name = capture, name
        rate = capture.get(cv2.CAP_PROP_FPS)
        self._period_s = 0.0 if fast or not 0 < rate < 1000 else 1 / rate  # noqa: PLR2004
        self._next_s = time.monotonic()
        self._frames = 0

    def read(self) -> Shot | None:
        """Return the next frame when it is due, None at the end."""
        read, frame = self._capture.read()
        if not read or not frame.size:
            if self._frames == 0:
                raise SourceError(f"{self._name} has no frame that can be decoded: is it a whole video file?")
            return None
        self._frames += 1
        if self._period_s:
            time.sleep(max(0.0, self._next_s - time.monotonic()))
            self._next_s += self._period_s
        return Shot(as_uint8(frame), time.monotonic())

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class LiveCamera:
    """A camera or stream; a thread grabs, only the newest frame is kept, and the others are counted."""

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        self._capture, self._name = capture, name
        self._condition = threading.Condition()
        self._newest: Shot | None = None
        self._closed = False
        self._frames = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._grab, name="edge-fm camera", daemon=True)
        self._thread.start()

    def read(self) -> Shot | None:
        """Wait for a frame newer than the last one.

        Raises:
            SourceError: the camera has gone silent.
        """
        with self._condition:
            wait_s = _SILENCE_S if self._frames else _FIRST_FRAME_S
            if not self._condition.wait_for(lambda: self._newest is not None or self._closed, wait_s):
                raise SourceError(
                    f"{self._name} has given no frame for {wait_s:.0f} s: is it still connected?"
                )
            shot, self._newest = self._newest, None
            return shot

    def close(self) -> None:
        """Stop grabbing and let go of the camera."""
        with self._condition:
            self._closed = True
        self._thread.join(timeout=_SILENCE_S)
        self._capture.release()

    def _grab(self) -> None:
        while not self._closed:
            read, frame = self._capture.read()
            if not read:
                time.sleep(0.01)  # a damaged frame is not an unplug; silence is noticed by the reader
                continue
            with self._condition:
                self.dropped += self._newest is not None
                self._frames += 1
                self._newest = Shot(as_uint8(frame), time.monotonic())
                self._condition.notify()


def open_camera(source: str, *, fast: bool = False) -> Camera:
    """Open a source.

    Args:
        source: a camera index ("0"), a device ("/dev/video0"), a video file, or an rtsp or http URL.
        fast: play a file without waiting for its rate.

    Raises:
        SourceError: it is not there or cannot be opened; the message says what to try.
    """
    if source.isdecimal():
        return _live(
            cv2.VideoCapture(int(source)), f"camera {source}", "is it plugged in? Try another index."
        )
    if source.startswith(_URL_SCHEMES):
        return _live(cv2.VideoCapture(source), source, "is the address right and the stream running?")
    if source.startswith("/dev/"):
        return _live(
            cv2.VideoCapture(source),
            source,
            "is it plugged in, free, and may this user read it (group 'video')?",
        )
    path = Path(source)
    if not path.is_file():
        raise SourceError(
            f"there is no video {source!r}: give a camera index such as 0, a video file or a URL"
        )
    capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise SourceError(f"{source} cannot be opened as a video: it is damaged, or OpenCV lacks its codec")
    return VideoFile(capture, source, fast=fast)


def _live(capture: cv2.VideoCapture, name: str, remedy: str) -> LiveCamera:
    if not capture.isOpened():
        raise SourceError(f"{name} cannot be opened: {remedy} 'edge-fm doctor' lists the cameras")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return LiveCamera(capture, name)
