"""The feed in a window: the picture, what the model sees of it, and what it says."""

import os
import sys

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live.loop import Reading
from edge_fm_runtime.opencv import as_uint8, cv2
from edge_fm_runtime.status import Status

_TITLE = "edge-fm"
_NO_WINDOW = "no window can be opened: there is no display, or this OpenCV is headless. Use --view none to print labels"
_INSET = 140
_MARGIN = 12
_MIN_HEIGHT = 360
_WHITE, _GREY, _PANEL = (255, 255, 255), (170, 170, 170), (32, 32, 32)
_KNOWN, _UNKNOWN = (96, 200, 96), (80, 170, 240)
_QUIT = {ord("q"), 27}


class WindowView:
    """A window that ends the loop when it is closed, or on q or Escape."""

    def __init__(self) -> None:
        """Open the window.

        Raises:
            SourceError: there is no display, or this OpenCV has no windows.
        """
        os.environ.setdefault(
            "QT_LOGGING_RULES", "default.warning=false"
        )  # it misses fonts that nothing here uses
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise SourceError(_NO_WINDOW)  # Qt would end the process
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error:
            raise SourceError(_NO_WINDOW) from None
        self._sized = False

    def show(self, reading: Reading) -> bool:
        """Draw a reading; False when the window was closed or q was pressed."""
        picture = draw(reading)
        if not self._sized:
            cv2.resizeWindow(_TITLE, picture.shape[1], picture.shape[0])
            self._sized = True
        cv2.imshow(_TITLE, picture)
        if cv2.waitKey(1) & 0xFF in _QUIT:
            return False
        return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()


def draw(reading: Reading) -> NDArray[np.uint8]:
    """Return the picture of a reading, (height, width, 3) uint8 in blue, green, red order."""
    frame = reading.frame_bgr
    if frame.shape[0] < _MIN_HEIGHT:
        scale = _MIN_HEIGHT / frame.shape[0]
        frame = as_uint8(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST))
    panel = np.full((frame.shape[0], _INSET + 2 * _MARGIN, 3), _PANEL, np.uint8)
    panel[_MARGIN : _MARGIN + _INSET, _MARGIN : _MARGIN + _INSET] = _inset(reading.tensor)
    prediction = reading.prediction
    known = prediction.status is Status.OK
    top = _MARGIN + _INSET + 22
    _write(panel, "what the model sees", top, _GREY, 14)
    _write(panel, prediction.label if known else "unknown", top + 40, _KNOWN if known else _UNKNOWN, 20)
    _write(
        panel,
        f"{prediction.confidence:.0%}" + ("" if known else f"  {prediction.label}?"),
        top + 66,
        _WHITE,
        18,
    )
    _write(panel, f"{reading.frames_per_second:.0f} frames/s", top + 106, _GREY, 14)
    _write(panel, f"{reading.latency_ms:.1f} ms", top + 126, _GREY, 14)
    return np.concatenate([frame, panel], axis=1)


def _inset(tensor: NDArray[np.uint8]) -> NDArray[np.uint8]:
    code = cv2.COLOR_GRAY2BGR if tensor.shape[2] == 1 else cv2.COLOR_RGB2BGR
    image = cv2.cvtColor(tensor, code)
    return as_uint8(cv2.resize(image, (_INSET, _INSET), interpolation=cv2.INTER_NEAREST))


def _write(
    panel: NDArray[np.uint8], text: str, baseline: int, colour: tuple[int, int, int], size: int
) -> None:
    cv2.putText(panel, text, (_MARGIN, baseline), colour, cv2.FontFace("sans"), size)
