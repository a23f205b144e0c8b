"""Folders of pictures for tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import as_uint8, cv2
from tests.pictures import encoded

CLASSES = ("cat", "dog")


def scene(seed: int, size: int = 80) -> NDArray[np.uint8]:
    """Return a smooth random colour picture; two seeds give scenes that look different."""
    rng = np.random.default_rng(seed)
    return as_uint8(cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (size, size)))


def write_picture(path: Path, seed: int, size: int = 80) -> Path:
    """Write a scene as PNG, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(scene(seed, size), ".png"))
    return path


def write_classes(folder: Path, count: int = 10, first: int = 0, names: tuple[str, ...] = CLASSES) -> Path:
    """Write `count` scenes of each class, numbered far apart, and return the folder."""
    for label, name in enumerate(names):
        for index in range(first, first + count):
            write_picture(folder / name / f"{10 * index}.png", 1000 * label + index)
    return folder
