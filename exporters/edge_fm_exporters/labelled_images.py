"""Images with their class indices, to measure a model on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledImages:
    """Images to measure on.

    Attributes:
        name: of the data set.
        split: `test`, or what else it is.
        images: (N, height, width, channels) uint8.
        labels: (N,) integers, None where there are none.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
