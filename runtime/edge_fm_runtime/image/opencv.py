"""Import OpenCV, for all other modules.

OpenCV reads its pixel limit once, at import, so this module sets it first. `opencv-python` cannot be imported
on a system without libGL or libglib; the error then names the remedy.
"""

import importlib.util
import os
import shlex
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import EdgeFmError

MAX_PIXELS = 2**27
"""Pixels of the largest image that is decoded: 134 megapixels."""

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _pip() -> str:
    """Return the command that runs pip on this environment, which may not have its own pip."""
    python = Path(sys.executable)
    if importlib.util.find_spec("pip"):
        return shlex.join([str(python), "-m", "pip"])
    return shlex.join([str(python.resolve()), "-m", "pip", "--python", sys.prefix])


try:
    import cv2  # noqa: TID251  # the only import of OpenCV
except ImportError as error:
    raise EdgeFmError(
        f"OpenCV cannot be imported: {error}. "
        "Its windows need system libraries: on Debian or Ubuntu run 'apt-get install libgl1 libglib2.0-0'. "
        "Where that is not possible, headless OpenCV does all but windows: run "
        f"{_pip()} uninstall -y opencv-python opencv-python-headless && {_pip()} install opencv-python-headless"
    ) from error

__all__ = ["MAX_PIXELS", "as_uint8", "cv2"]


def as_uint8(array: object) -> NDArray[np.uint8]:
    """Return an array from OpenCV with its element type, which OpenCV's type stubs leave open.

    Raises:
        TypeError: the array has another type, which is a bug of edge-fm.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise TypeError(f"OpenCV gave {type(array).__name__}, expected an array of uint8")
    return array
