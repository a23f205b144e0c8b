"""Read JPEG after JPEG from a pipe, as rpicam-vid writes them on a Raspberry Pi."""

import os

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.live.cameras.base import BgrImage

LIMITS = Limits(max_bytes=16 * 2**20, max_pixels=2**25)
"""Size limits of one frame."""

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_CHUNK = 1 << 16


class MjpegPipe:
    """Reads frames from a file descriptor, in the form of `cv2.VideoCapture`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._open = True

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        """Return whether the writer is still there."""
        return self._open

    def read(self) -> tuple[bool, BgrImage | None]:
        """Return (True, frame), or (False, None) for a damaged frame and at the end."""
        while (picture := self._cut()) is None:
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                self._open = False
                return False, None
            self._buffer += chunk
        try:
            return True, preprocess.frame_from_bytes(picture, LIMITS)
        except InputError:
            return False, None

    def release(self) -> None:
        """Do nothing: standard input stays open."""
        self._open = False

    def _cut(self) -> bytes | None:
        """Take a whole image out of the buffer; discard anything else, and too much of it."""
        start = self._buffer.find(_START)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(_START))]
            return None
        end = self._buffer.find(_END, start)
        if end < 0:
            if len(self._buffer) > LIMITS.max_bytes:
                self._buffer.clear()
            return None
        picture = bytes(self._buffer[start : end + len(_END)])
        del self._buffer[: end + len(_END)]
        return picture
