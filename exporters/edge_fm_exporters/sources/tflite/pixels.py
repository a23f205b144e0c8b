"""Scale of the pixels that a quantised input takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.tflite.model import Tensor

_SHIFT = 128
"""Difference of a pixel in [0, 255] and its int8."""


@dataclass(frozen=True)
class PixelScale:
    """Scale from pixels in [0, 255] to a network's real numbers: (pixel - zero point) * factor."""

    zero_point: float
    factor: float


def pixel_scale(tensor: Tensor) -> PixelScale | None:
    """Return the scale of an input of 8-bit integers; None of a float one."""
    if np.issubdtype(tensor.dtype, np.floating):
        return None
    shift = _SHIFT if tensor.dtype is np.int8 else 0
    if not tensor.is_quantized:
        return PixelScale(shift, 1.0)
    return PixelScale(float(tensor.zero_point[0]) + shift, float(tensor.scale[0]))


def as_integers(images: NDArray[np.float32], tensor: Tensor) -> NDArray[np.generic]:
    """Return images of pixels in [0, 255], float32, as the integers that an 8-bit input takes."""
    pixels = np.clip(np.rint(images), 0, 255)
    return np.asarray(pixels - (_SHIFT if tensor.dtype is np.int8 else 0), tensor.dtype)
