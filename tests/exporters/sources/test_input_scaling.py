"""Layers of a Keras model that show what its pixels were in training."""

from typing import Any

import pytest

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.sources.input_scaling import raw_pixels_note

pytestmark = pytest.mark.train


def network(*layers: Any) -> Any:
    """Return a network that begins with the given layers."""
    k = import_keras()
    return k.Sequential([k.Input((8, 8, 3)), *layers, k.layers.Flatten(), k.layers.Dense(2)])


def test_layers_for_bytes_are_evidence() -> None:
    """A Rescaling of [0, 255] or a Normalization with large means shows raw pixels, also behind others."""
    k = import_keras()
    layers = k.layers
    augmentation = k.Sequential([k.Input((8, 8, 3)), layers.RandomFlip(), layers.RandomRotation(0.1)])
    image = k.Input((8, 8, 3))
    functional = k.Model(
        image, layers.Dense(2)(layers.Flatten()(layers.Rescaling(1 / 255, name="scale")(image)))
    )
    assert "'scale'" in raw_pixels_note(functional)
    for begin in (
        [layers.Rescaling(1 / 127.5, offset=-1)],
        [layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 3000.0, 3000.0])],
        [augmentation, layers.Rescaling(1 / 255)],
        [k.Sequential([k.Input((8, 8, 3)), layers.Rescaling(1 / 255)])],
    ):
        assert raw_pixels_note(network(*begin)).startswith("pixels in training: raw")


def test_other_layers_are_none() -> None:
    """Layers for pixels in [0, 1], and scaling that is not the first to change values, show nothing."""
    k = import_keras()
    layers = k.layers
    image = k.Input((8, 8, 3))
    divided = k.Model(image, layers.Flatten()(layers.Rescaling(1 / 255)(image * 255)))
    assert raw_pixels_note(divided) == ""
    for begin in (
        [],
        [layers.Rescaling(2, offset=-1)],
        [layers.Rescaling(255)],
        [layers.Normalization(mean=[0.5, 0.4, 0.4], variance=[0.05, 0.05, 0.05])],
        [layers.Conv2D(3, 3), layers.Rescaling(1 / 255)],
        [layers.BatchNormalization()],
    ):
        assert raw_pixels_note(network(*begin)) == ""
