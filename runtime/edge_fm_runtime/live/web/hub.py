"""Hand results from the loop to the server; viewers cost the loop nothing."""

import base64
import threading
import time
from collections import Counter, deque
from typing import Any

from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.live import snapshot
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.text import format_prediction

_WIDEST = 960
_JPEG_QUALITY = 80
_HISTORY = 60
_HEALTHY_S = 10.0


class Hub:
    """View that stores results; frames are encoded on request, once for all viewers."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._reading: FrameResult | None = None
        self._seen_s = self._started_s = time.monotonic()
        self._notice = ""
        self._encoded: tuple[int, bytes] = (0, b"")
        self._history: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._last = ""
        self.counts: Counter[str] = Counter()
        self.closed = False

    def show(self, reading: FrameResult) -> bool:
        """Store the newest result, and each change of label."""
        label = format_prediction(reading.prediction)
        with self._lock:
            self._reading, self._seen_s, self._notice = reading, time.monotonic(), ""
            self.counts[reading.prediction.label if label == reading.prediction.label else "unknown"] += 1
            if label != self._last:
                self._last = label
                entry = {"time": snapshot.now(), "label": reading.prediction.label}
                self._history.append(entry | {"status": reading.prediction.status.value})
        return True

    def wait(self, notice: str) -> bool:
        """Store why no frame comes."""
        with self._lock:
            self._notice = notice
        return True

    def close(self) -> None:
        """End the viewers' generators."""
        self.closed = True

    @property
    def reading(self) -> FrameResult | None:
        """Return the newest result, if there is one."""
        with self._lock:
            return self._reading

    @property
    def is_healthy(self) -> bool:
        """Return whether a frame came within ten seconds, or the start was that recent."""
        with self._lock:
            return time.monotonic() - self._seen_s < _HEALTHY_S

    def uptime_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started_s

    def state(self) -> dict[str, Any]:
        """Return everything that the page shows, as a dict for JSON."""
        with self._lock:
            reading, notice, history, silent_s = (
                self._reading,
                self._notice,
                list(self._history),
                time.monotonic() - self._seen_s,
            )
        if reading is None:
            return {"number": 0, "notice": notice, "history": [], "model": self.model}
        return {
            "number": reading.number,
            "notice": notice if notice or silent_s < 1 else f"no frame for {silent_s:.0f} s",
            "frames_per_second": round(reading.frames_per_second, 1),
            "age_ms": round(reading.age_ms, 1),
            "dropped": reading.dropped,
            "history": history,
            **answer(reading, self.model),
        }

    def picture(self) -> tuple[int, bytes]:
        """Return number and JPEG of the newest frame with its region; number 0 if there is none."""
        reading = self.reading
        if reading is None:
            return 0, b""
        with self._encoding:
            if self._encoded[0] != reading.number:
                self._encoded = reading.number, _encoded(reading)
            return self._encoded


def answer(reading: FrameResult, model: str) -> dict[str, Any]:
    """Return a result as a dict for JSON, with the input tensor in base64."""
    return {
        **snapshot.described(reading, model),
        "input": base64.b64encode(reading.tensor.tobytes()).decode(),
        "input_shape": list(reading.tensor.shape),
    }


def _encoded(reading: FrameResult) -> bytes:
    frame, box = reading.frame_bgr, reading.box
    scale = min(1.0, _WIDEST / frame.shape[1])
    picture = frame.copy() if scale == 1 else as_uint8(cv2.resize(frame, None, fx=scale, fy=scale))
    if (box.width, box.height) != (frame.shape[1], frame.shape[0]):
        near = (round(box.x * scale), round(box.y * scale))
        far = (round((box.x + box.width) * scale) - 1, round((box.y + box.height) * scale) - 1)
        cv2.rectangle(picture, near, far, (30, 30, 30), 4)
        cv2.rectangle(picture, near, far, (110, 205, 110), 2)
    done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return jpeg.tobytes() if done else b""
