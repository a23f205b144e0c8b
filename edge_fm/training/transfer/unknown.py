"""Draw images of no class, in colour: empty scenes and cluttered ones."""

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation.backgrounds import clutter, empty_scene
from edge_fm_runtime.artifact.input_spec import InputSpec

_TINT = 0.4
"""Largest share of another drawing in a colour of an image."""

_EMPTY_SHARE = 0.5


def unknown_images(spec: InputSpec, count: int, seed: int) -> NDArray[np.uint8]:
    """Return (count, height, width, 3) uint8, the same for the same seed; height and width are equal."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, *spec.shape), np.uint8)
    for image in images:
        draw = empty_scene if rng.random() < _EMPTY_SHARE else clutter
        base = draw(spec.height, rng).astype(np.float32)
        tint = empty_scene(spec.height, rng).astype(np.float32)
        for channel in range(spec.channels):
            share = rng.uniform(0, _TINT)
            image[..., channel] = np.rint((1 - share) * base + share * tint)
    return images
