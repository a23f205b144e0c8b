"""Fakes for the tests of the live feed: frames, a camera, a view that records, a page."""

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Prediction
from edge_fm_runtime.live.cameras.base import Frame
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.region import Box
from edge_fm_runtime.live.web.server import WebView
from edge_fm_runtime.status import Status

OpenView = Callable[..., WebView]
"""Serves a page with the given settings."""


def frame(level: int, height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Return an even grey frame."""
    return np.full((height, width, 3), level, np.uint8)


class Frames:
    """A camera that returns fixed frames, `period_s` of feed time apart; None stands for no frame."""

    dropped = 0

    def __init__(self, *levels: int | None, period_s: float = 0.1, notice: str = "") -> None:
        self.left = list(levels)
        self.period_s, self.at_s = period_s, 0.0
        self.notice = notice
        self.closed = False

    @property
    def ended(self) -> bool:
        return not self.left

    def read(self, wait_s: float) -> list[Frame]:
        level = self.left.pop(0) if self.left else None
        self.at_s += self.period_s
        return [] if level is None else [Frame(frame(level), time.monotonic(), self.at_s)]

    def close(self) -> None:
        self.closed = True


class Recorder:
    """A view that records frames and notices, and may end the loop."""

    def __init__(self, ends_after: int = 1000) -> None:
        self.readings: list[FrameResult] = []
        self.notices: list[str] = []
        self.ends_after = ends_after
        self.closed = False

    def show(self, reading: FrameResult) -> bool:
        self.readings.append(reading)
        return len(self.readings) < self.ends_after

    def wait(self, notice: str) -> bool:
        self.notices.append(notice)
        return True

    def close(self) -> None:
        self.closed = True

    @property
    def labels(self) -> list[str]:
        """Labels of the frames, in order."""
        return [reading.prediction.label for reading in self.readings]


def reading(
    number: int = 1, label: str = "dark", status: Status = Status.OK, at_s: float = 0.0, height: int = 120
) -> FrameResult:
    """Return a frame result like those of the loop."""
    rng = np.random.default_rng(number)
    picture = rng.integers(0, 256, (height, 160, 3), dtype=np.uint8)
    prediction = Prediction(label, 0.75, status, ((label, 0.75), ("other", 0.25)))
    tensor = np.full((28, 28, 1), number % 256, np.uint8)
    box = Box(20, 0, height, height)
    return FrameResult(number, picture, box, tensor, prediction, at_s, 2.0, 1.5, 30.0, 7)


class FakeCapture:
    """Replaces cv2.VideoCapture, for machines without a camera."""

    def __init__(self, *reads: int | None, opened: bool = True, period_s: float = 0.002) -> None:
        self.reads, self.opened, self.period_s = list(reads), opened, period_s
        self.settings: dict[int, float] = {}
        self.released = threading.Event()

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        time.sleep(self.period_s)
        level = self.reads.pop(0) if self.reads else None
        return (False, None) if level is None else (True, frame(level))

    def release(self) -> None:
        self.released.set()


def get(view: WebView, path: str, **options: Any) -> httpx.Response:
    """Request a page."""
    return httpx.get(view.address + path, **options)
