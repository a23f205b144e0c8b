"""A file of each kind of image with the pixels that it means; the modules beside have the kinds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 11, 13
"""Odd sizes, so that every padding and every pass of an interlaced PNG is used."""

Samples = NDArray[np.int64]


class Kind(NamedTuple):
    """One file of a kind.

    Attributes:
        name: format and properties.
        data: the encoded file.
        truth: (height, width, 4) RGBA in [0, 255], or None for a kind that is refused as unsupported.
    """

    name: str
    data: bytes
    truth: NDArray[np.float64] | None


def gradient(levels: int, channels: int = 1) -> Samples:
    """Return (height, width, channels) samples that take all values below `levels`, without symmetry."""
    down, across, channel = np.mgrid[:HEIGHT, :WIDTH, :channels]
    step = max(1, levels // 97)
    return (down * (7 + 4 * channel) + across * (11 - 3 * channel) + channel * 29) * step % levels
