"""Show a feed in a window, with keys and mouse."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import overlay, snapshot
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.region import CENTRE, FULL, Box, Region

_TITLE = "edge-fm"
_NO_WINDOW = (
    "no window can be opened: there is no display, or this OpenCV is headless. Use --view web to look from a browser, or "
    "--view none to print labels"
)
_NO_KEY = 255
_QUIT = {ord("q"), 27}
_SMALLEST_DRAG = 8
_MESSAGE_S = 2.0
_IDLE_MS = 20


class WindowView:
    """Window that ends the loop when it is closed, or on q or Escape."""

    def __init__(self, region: Region, model: str, snapshots: Path, note: Callable[[str], None]) -> None:
        """Open the window.

        Args:
            region: changed with the mouse and with r.
            model: its name, for snapshots.
            snapshots: the folder where they go.
            note: takes a sentence, such as where a snapshot is.

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
        cv2.setMouseCallback(_TITLE, self._mouse)
        self._region, self._model, self._snapshots, self._note = region, model, snapshots, note
        self._reading: FrameResult | None = None
        self._shape = (0, 0)
        self._mirror = self._keys = self._paused = False
        self._notice = self._message = ""
        self._message_until_s = 0.0
        self._drag: Callable[[int, int], Box] | None = None

    def show(self, reading: FrameResult) -> bool:
        """Draw a result and handle keys, also while paused; return False on q or close."""
        self._reading, self._notice = reading, ""
        return self._held(self._turn(1))

    def wait(self, notice: str) -> bool:
        """Keep the window responsive while no frame comes, and show why."""
        self._notice = notice
        return self._held(self._turn(_IDLE_MS) if self._reading else self._pressed(cv2.waitKey(_IDLE_MS)))

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def _held(self, goes_on: bool) -> bool:
        """Keep the current frame while paused."""
        while self._paused and goes_on:
            goes_on = self._turn(_IDLE_MS)
        return goes_on

    def _turn(self, wait_ms: int) -> bool:
        """Draw the current state and handle one key."""
        if self._reading is None:  # pragma: no cover - both callers have one
            return True
        message = self._message if time.monotonic() < self._message_until_s else ""
        if not self._is_visible():  # drawing would open it again
            return False
        notice = message or self._notice or ("paused" if self._paused else "")
        picture = overlay.draw(self._reading, mirror=self._mirror, keys=self._keys, notice=notice)
        if picture.shape[:2] != self._shape:
            self._shape = picture.shape[0], picture.shape[1]
            cv2.resizeWindow(_TITLE, picture.shape[1], picture.shape[0])
        cv2.imshow(_TITLE, picture)
        return self._pressed(cv2.waitKey(wait_ms))

    def _is_visible(self) -> bool:
        try:
            return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt ends with its last window
            return False

    def _pressed(self, pressed: int) -> bool:
        """Handle a key; return False if it quits, or the window was closed."""
        key = pressed & _NO_KEY
        if key in _QUIT:
            return False
        if key == ord(" "):
            self._paused = not self._paused
        elif key == ord("m"):
            self._mirror = not self._mirror
        elif key in {ord("h"), ord("?")}:
            self._keys = not self._keys
        elif key == ord("r"):
            self._region.wanted = FULL if self._region.wanted == CENTRE else CENTRE
        elif key == ord("s") and self._reading is not None:
            self._keep(self._reading)
        return self._is_visible()

    def _keep(self, reading: FrameResult) -> None:
        try:
            path = snapshot.save(reading, self._model, self._snapshots, "snapshot")
        except OSError as error:
            self._message = f"no snapshot: {error.strerror or error}"
        else:
            self._message = f"kept {path.name}"
            self._note(f"snapshot: {path}")
        self._message_until_s = time.monotonic() + _MESSAGE_S

    def _mouse(self, event: int, x: int, y: int, _flags: int, _parameter: object) -> None:
        """Move the region that is under the mouse, or draw a new one beside it."""
        if self._reading is None:
            return
        x, y = self._in_frame(x, y, self._reading)
        height, width = self._reading.frame_bgr.shape[:2]
        if event == cv2.EVENT_LBUTTONDOWN and 0 <= x < width and 0 <= y < height:
            self._drag = self._begun(self._region.box(width, height), x, y, width, height)
        elif event == cv2.EVENT_MOUSEMOVE and self._drag is not None:
            self._region.wanted = self._drag(x, y)
        elif event == cv2.EVENT_LBUTTONUP:
            self._drag = None

    def _begun(self, box: Box, x: int, y: int, width: int, height: int) -> Callable[[int, int], Box]:
        """Return the region after a drag from (x, y)."""
        covers_all = (box.width, box.height) == (width, height)
        if box.holds(x, y) and not covers_all:
            return lambda to_x, to_y: Box(box.x + to_x - x, box.y + to_y - y, box.width, box.height).inside(
                width, height
            )

        def drawn(to_x: int, to_y: int) -> Box:
            wide, tall = abs(to_x - x), abs(to_y - y)
            if min(wide, tall) < _SMALLEST_DRAG:
                return box
            return Box(min(x, to_x), min(y, to_y), wide, tall).inside(width, height)

        return drawn

    def _in_frame(self, x: int, y: int, reading: FrameResult) -> tuple[int, int]:
        """Return the pixel of the frame under a pixel of the window."""
        height, width = reading.frame_bgr.shape[:2]
        scale = height / max(1, self._shape[0])
        x, y = int(x * scale), int(y * scale)
        return (width - 1 - x if self._mirror else x), y
