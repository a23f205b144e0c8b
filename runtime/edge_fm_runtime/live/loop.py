"""Run a feed: read frames, classify the region, smooth the labels, show every result."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
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


def run(
    classifier: Classifier,
    camera: Camera,
    views: Sequence[View],
    region: Region | None = None,
    steady: LabelSmoother | None = None,
    stop: threading.Event | None = None,
    renewal: HotReloader | None = None,
) -> int:
    """Classify frames until the source ends, a view does, or `stop` is set; return how many.

    Args:
        classifier: the model.
        camera: closed at the end.
        views: told in turn of every frame; closed at the end, each whatever another's closing raises.
        region: what is classified of each frame; all of it if not given.
        steady: what is made of the answers; each frame by itself if not given.
        stop: set from outside, by a signal's handler.
        renewal: where a new model comes from; it is taken up between two frames.

    Raises:
        SourceError: the source never gave a frame.
    """
    region, steady = region or Region(), steady or LabelSmoother(classifier)
    region.suit(classifier.passport.input)
    stop = stop or threading.Event()
    times_s: deque[float] = deque(maxlen=_RATE_WINDOW)
    frames = 0
    # A frame is done before a second thread has woken, and the decoder needs the other cores.
    cv2.setNumThreads(1)
    try:
        while not stop.is_set():
            shots = camera.read(_WAIT_S)
            if not shots:
                if camera.ended or False in [view.wait(camera.notice) for view in views]:
                    break
                continue
            fresh = renewal.take() if renewal is not None else None
            if fresh is not None:
                classifier, steady = fresh, steady.renewed(fresh)
                region.suit(fresh.passport.input)
            started_s = time.perf_counter()
            boxes = [region.box(*shot.frame_bgr.shape[1::-1]) for shot in shots]
            tensors = [_tensor(classifier, shot, box) for shot, box in zip(shots, boxes, strict=True)]
            rows = classifier.probabilities(np.stack(tensors))
            for shot, box, tensor, row in zip(shots, boxes, tensors, rows, strict=True):
                prediction = steady.answer(row, shot.at_s)
                ended_s = time.perf_counter()
                frames += 1
                times_s.append(ended_s)
                rate = (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
                reading = FrameResult(
                    frames,
                    shot.frame_bgr,
                    box,
                    tensor,
                    prediction,
                    shot.at_s,
                    (time.monotonic() - shot.taken_s) * 1000,
                    (ended_s - started_s) * 1000,
                    rate,
                    camera.dropped,
                )
                # Each is told, also after one that ends the loop.
                if False in [view.show(reading) for view in views]:
                    return frames
    finally:
        _close_all([*views, camera])
    return frames


def _tensor(classifier: Classifier, shot: Frame, box: Box) -> NDArray[np.uint8]:
    part = shot.frame_bgr[box.y : box.y + box.height, box.x : box.x + box.width]
    return classifier.frame_tensor(part, shot.greys)


def _close_all(open_ones: "Sequence[View | Camera]") -> None:
    """Close each one, even if an earlier one fails to close."""
    for position, one in enumerate(open_ones):
        try:
            one.close()
        except BaseException:
            _close_all(open_ones[position + 1 :])
            raise
