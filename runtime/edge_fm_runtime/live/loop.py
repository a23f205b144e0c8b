"""The loop of a feed: a frame in, a decision, a view told."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier, Prediction
from edge_fm_runtime.live.cameras import Camera, Frame

_RATE_WINDOW = 30


@dataclass(frozen=True)
class Reading:
    """One frame and what was made of it.

    Attributes:
        frame_bgr: as the camera gave it.
        tensor: (height, width, channels) uint8, what the model saw.
        prediction: the answer.
        latency_ms: from decoded frame to decision.
        frames_per_second: over the last frames.
    """

    frame_bgr: Frame
    tensor: NDArray[np.uint8]
    prediction: Prediction
    latency_ms: float
    frames_per_second: float


class View(Protocol):
    """Where readings are shown."""

    def show(self, reading: Reading) -> bool:
        """Show a reading; False ends the loop."""
        ...

    def close(self) -> None:
        """Let go of the screen."""
        ...


def run(classifier: Classifier, camera: Camera, view: View) -> int:
    """Classify frames until the source ends or the view does; return how many."""
    times_s: deque[float] = deque(maxlen=_RATE_WINDOW)
    frames = 0
    try:
        while (shot := camera.read()) is not None:
            started_s = time.perf_counter()
            tensor = classifier.frame_tensor(shot.frame_bgr)
            prediction = classifier.decide(classifier.probabilities(tensor[np.newaxis]))[0]
            ended_s = time.perf_counter()
            frames += 1
            times_s.append(ended_s)
            rate = (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
            reading = Reading(shot.frame_bgr, tensor, prediction, (ended_s - started_s) * 1000, rate)
            if not view.show(reading):
                break
    finally:
        view.close()
        camera.close()
    return frames
