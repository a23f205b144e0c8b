"""Networks that were trained on blue, green, red, behind an input of red, green, blue."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.normalization.scale import parse_scale
from edge_fm_exporters.sources import keras
from tests.exporters.networks import exported, shaken

pytestmark = pytest.mark.train


def network(first: list[Any]) -> Any:
    """Return a colour network that begins with the given layers."""
    k = import_keras()
    model = shaken(
        k.Sequential(
            [k.Input((20, 20, 3)), *first, k.layers.Flatten(), k.layers.Dense(3, activation="softmax")]
        )
    )
    # Small scores, as trained networks have them: those of random weights on [0, 255] overflow the softmax.
    model.layers[-1].set_weights([weight / 100 for weight in model.layers[-1].get_weights()])
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begin", "text"),
    [
        ("convolution", "unit-bgr"),
        ("convolution", "standard-bgr:120,110,100:60,59,58"),
        ("padding", "caffe"),
        ("rescaling", "imagenet-bgr"),
        ("dense", "caffe"),
        ("depthwise", "imagenet-bgr"),
    ],
)
def test_the_file_takes_rgb(begin: str, text: str, tmp_path: Path) -> None:
    """The file answers as the network on reversed channels, with a node for it only without a convolution."""
    layers = import_keras().layers
    convolution = layers.Conv2D(4, 3, activation="relu")
    first = {
        "convolution": [convolution],
        "padding": [layers.ZeroPadding2D(2), convolution],
        "rescaling": [layers.Rescaling(1 / 9, offset=-0.1), convolution],
        "dense": [],
        "depthwise": [layers.DepthwiseConv2D(3)],
    }[begin]
    network(first).save(tmp_path / "model.keras")
    difference, kinds = exported(
        keras.load(tmp_path / "model.keras"), parse_scale(text, None), tmp_path / "m.onnx"
    )
    assert difference < 1e-5
    assert kinds["Gather"] == int(begin in {"dense", "depthwise"})


def test_the_scale_reverses_the_channels() -> None:
    """The means of `caffe` are of blue, green and red; `-bgr` takes its numbers as red, green and blue."""
    pixel = np.array([[[[200, 100, 50]]]], np.uint8)
    assert parse_scale("caffe", None).apply(pixel).ravel() == pytest.approx(
        [-53.939, -16.779, 76.32], abs=1e-4
    )
    numbered = parse_scale("standard-bgr:1,2,3:1,1,1", None).apply(pixel)
    assert numbered.ravel().tolist() == [47.0, 98.0, 199.0]
    red = (200 / 255 - 0.485) / 0.229
    assert parse_scale("imagenet", None).apply(pixel)[..., 0] == pytest.approx(red, abs=1e-5)
    assert parse_scale("imagenet-bgr", None).apply(pixel)[..., 2] == pytest.approx(red, abs=1e-5)
