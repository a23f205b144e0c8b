"""Run a feed: read frames, classify the region, smooth the labels, show every result."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier, Prediction
from edge_fm_runtime.hot_reload import HotReloader
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.cameras.base import BgrImage, Camera, Frame
from edge_fm_runtime.live.region import Box, Region
from edge_fm_runtime.live.smoothing import LabelSmoother

_RATE_WINDOW = 30
_WAIT_S = 0.1


@dataclass(frozen=True)
class FrameResult:
    """Result of one frame.

    Attributes:
        number: of the frame, from 1.
        frame_bgr: as the camera gave it.
        box: the part that was classified.
        tensor: (height, width, channels) uint8, what the model saw of it.
        prediction: the answer to show.
        at_s: the frame's place in the feed, in seconds.
        age_ms: how old the frame was when its answer was there.
        latency_ms: from decoded frame to answer, of all frames that were answered together.
        frames_per_second: over the last frames.
        dropped: frames passed over so far because a newer one was there.
    """

    number: int
    frame_bgr: BgrImage
    box: Box
    tensor: NDArray[np.uint8]
    prediction: Prediction
    at_s: float
    age_ms: float
    latency_ms: float
    frames_per_second: float
    dropped: int


class View(Protocol):
    """Shows results: a window, a page, a log, a recording."""

    def show(self, reading: FrameResult) -> bool:
        """Show a result; return False to end the loop."""
        ...

    def wait(self, notice: str) -> bool:
        """Handle a tenth of a second without a frame; return False to end the loop."""
        ...

    def close(self) -> None:
        """Finish and close."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Settings of the classification of a feed.

    Attributes:
        region: part of each frame that is classified; all of it by default.
        smoother: turns probabilities into the shown prediction; each frame by itself by default.
        stop: event that ends the loop, set by a signal's handler.
        reloader: source of new models, each taken up between two frames; None keeps the first one.
    """

    region: Region = field(default_factory=Region)
    smoother: LabelSmoother | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    reloader: HotReloader | None = None


def run(
    classifier: Classifier, camera: Camera, views: Sequence[View], settings: LoopSettings | None = None
) -> int:
    """Classify frames until the source ends, a view ends the loop, or `stop` is set; return their number.

    Args:
        classifier: the model.
        camera: source of frames; closed at the end.
        views: shown every result in turn; closed at the end, each whatever another's closing raises.
        settings: region, smoothing, stop and hot reload.

    Raises:
        SourceError: the source never gave a frame.
    """
    settings = settings or LoopSettings()
    feed = _FeedState(classifier, settings)
    # A frame is done before a second thread has woken, and the decoder needs the other cores.
    cv2.setNumThreads(1)
    try:
        while not settings.stop.is_set():
            frames = camera.read(_WAIT_S)
            if not frames:
                if camera.ended or False in [view.wait(camera.notice) for view in views]:
                    break
                continue
            feed.take_up_new_model()
            for result in feed.results(frames, camera.dropped):
                # Every view is shown the result, also after one that ends the loop.
                if False in [view.show(result) for view in views]:
                    return feed.frames
    finally:
        _close_all([*views, camera])
    return feed.frames


class _FeedState:
    """State of a feed: its model, region and smoother, and the number and rate of its frames."""

    def __init__(self, classifier: Classifier, settings: LoopSettings) -> None:
        self.frames = 0
        self._classifier, self._region, self._reloader = classifier, settings.region, settings.reloader
        self._smoother = settings.smoother or LabelSmoother(classifier)
        self._times_s: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._region.suit(classifier.passport.input)

    def take_up_new_model(self) -> None:
        """Replace the model if a new one is ready."""
        fresh = self._reloader.take() if self._reloader is not None else None
        if fresh is not None:
            self._classifier, self._smoother = fresh, self._smoother.for_model(fresh)
            self._region.suit(fresh.passport.input)

    def results(self, frames: Sequence[Frame], dropped: int) -> Iterator[FrameResult]:
        """Yield the result of each frame: region -> tensor -> probabilities -> smoothed prediction."""
        started_s = time.perf_counter()
        boxes = [self._region.box(*frame.frame_bgr.shape[1::-1]) for frame in frames]
        tensors = [self._tensor(frame, box) for frame, box in zip(frames, boxes, strict=True)]
        rows = self._classifier.probabilities(np.stack(tensors))
        for frame, box, tensor, row in zip(frames, boxes, tensors, rows, strict=True):
            prediction = self._smoother.answer(row, frame.at_s)
            ended_s = time.perf_counter()
            self.frames += 1
            self._times_s.append(ended_s)
            yield FrameResult(
                self.frames,
                frame.frame_bgr,
                box,
                tensor,
                prediction,
                frame.at_s,
                (time.monotonic() - frame.taken_s) * 1000,
                (ended_s - started_s) * 1000,
                self._rate(),
                dropped,
            )

    def _tensor(self, frame: Frame, box: Box) -> NDArray[np.uint8]:
        part = frame.frame_bgr[box.y : box.y + box.height, box.x : box.x + box.width]
        return self._classifier.frame_tensor(part, frame.greys)

    def _rate(self) -> float:
        times_s = self._times_s
        return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0


def _close_all(open_ones: "Sequence[View | Camera]") -> None:
    """Close each one, even if an earlier one fails to close."""
    for position, one in enumerate(open_ones):
        try:
            one.close()
        except BaseException:
            _close_all(open_ones[position + 1 :])
            raise
