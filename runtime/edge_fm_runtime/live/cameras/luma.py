"""Read grey frames of a video file from its luma plane, without the conversion to colour.

Video is stored as brightness (Y) and colour. A decoder turns each frame into blue, green and red, and the
recipe then back into grey by the very formula that Y was made with (ITU-R BT.601). OpenCV can leave out that
turn, but says that it has not tested it for each format; so it is used only for a file whose first frame
proves it.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import cv2

_LIMITED = np.clip(np.rint((np.arange(256) - 16) * 255 / 219 - 1), 0, 255).astype(np.uint8)
"""One level lower, since FFmpeg's conversion truncates (measured: 1.2 of 255 on three files)."""

_FULL = np.arange(256, dtype=np.uint8)
_MEAN, _MOST, _SHARE = 1.0, 8, 99.9


def open_luma(path: Path) -> tuple[cv2.VideoCapture, NDArray[np.uint8]] | None:
    """Open a file's luma plane; return None if that is not its grey image.

    Args:
        path: of a video file that can be opened.

    Returns:
        the capture, which gives (height, width) uint8, and the table of 256 greys that its levels stand for:
        BT.601 leaves head and foot room, 16 to 235, and some formats do not.
    """
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        luma, colour = _open(path), cv2.VideoCapture(os.fspath(path))
        table = _proven(luma, colour)
        luma.release()
        colour.release()
        return None if table is None else (_open(path), table)
    finally:
        cv2.utils.logging.setLogLevel(before)


def _open(path: Path) -> cv2.VideoCapture:
    return cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_CONVERT_RGB, 0])


def _proven(luma: cv2.VideoCapture, colour: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """Return the table that turns the first luma frame into the first grey frame, if there is one."""
    if not luma.isOpened():
        return None
    read, plane = luma.read()
    seen, frame = colour.read()
    if not (read and seen) or plane.dtype != np.uint8 or plane.shape != frame.shape[:2]:
        return None
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.int16)
    for table in (_LIMITED, _FULL):
        off = np.abs(table[plane] - grey)
        if off.mean() <= _MEAN and np.percentile(off, _SHARE) <= _MOST:
            return table
    return None
