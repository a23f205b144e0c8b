"""Bound the work of quantising by the size of the images.

A MobileNetV2 of 224x224 has 200 times the activations of a network for 28x28. With as many images as for
those, each candidate would take minutes and gigabytes, and would be no better.
"""

from dataclasses import replace

import numpy as np

from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_runtime.artifact.input_spec import InputSpec

CALIBRATION_IMAGES = 1000
"""How many training images set the ranges of the activations, at most."""

_CALIBRATION_PIXELS = 3 * 2**20
"""Pixels of all images that set ranges, at most: 1000 images of 56x56, or 62 of 224x224."""

_BATCH_IMAGES = 100
_BATCH_PIXELS = 2**17
"""Pixels of a batch, at most; its activations are held: 27 MB an image in a MobileNetV2 of 224x224."""

_SELECTION_PIXELS = 2**26
"""Pixels of all images that accuracy is measured on, at most: 1,337 images of 224x224."""

_LARGE = 64 * 64
"""Pixels of an image above which fewer candidates are tried: each takes several seconds."""


def calibration_images(spec: InputSpec) -> int:
    """Return how many training images set the ranges of the activations, at most."""
    return max(1, min(CALIBRATION_IMAGES, _CALIBRATION_PIXELS // (spec.height * spec.width)))


def batch_size(height: int, width: int) -> int:
    """Return how many images are calibrated on at a time, at most."""
    return max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (height * width)))


def in_batches(height: int, width: int) -> bool:
    """Return whether the activations of all calibration images are too many to be held at once."""
    return batch_size(height, width) < _BATCH_IMAGES


def selection_part(images: LabelledImages) -> LabelledImages:
    """Return the images that accuracy is measured on, spread evenly over those that there are."""
    height, width = images.images.shape[1:3]
    count = max(1, _SELECTION_PIXELS // (height * width))
    if count >= len(images.images):
        return images
    chosen = np.linspace(0, len(images.images) - 1, count).astype(np.int64)
    labels = images.labels[chosen] if images.labels is not None else None
    return replace(images, images=images.images[chosen], labels=labels)


def is_large(spec: InputSpec) -> bool:
    """Return whether so few candidates are tried that a search ends in bounded time."""
    return spec.height * spec.width > _LARGE
