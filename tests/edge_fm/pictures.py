"""Pictures that tests of trainings are made of."""

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm_runtime.image.opencv import cv2

MAP = '[photos]\ndress = ["Dress"]\nshoes = ["Sandal", "Sneaker"]\nhat = []\n'


def picture(seed: int, height: int = 160, width: int = 120) -> NDArray[np.uint8]:
    """Return a grey picture with structure."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        cv2.GaussianBlur(rng.integers(0, 256, (height, width), dtype=np.uint8), (0, 0), 6), np.uint8
    )


def small() -> datasets.Dataset:
    """Return a small part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 120, 40)
