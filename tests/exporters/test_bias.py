"""Biases that make up for what rounding the weights shifts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import wardrobe
from edge_fm_exporters import bias, graph, keras, quantize
from edge_fm_exporters.activations import activations
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import ModelProto
from edge_fm_exporters.scale import UNIT
from tests.exporters.networks import SEED_CNN


def uncorrected(quantised: ModelProto, *_: object) -> ModelProto:
    """Stand in for `bias.correct`."""
    return quantised


def means(model: ModelProto, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the mean of each channel of each weighted layer's output, by the layer's name."""
    layers = {node.name: node.output[0] for node in model.graph.node if node.op_type in {"Conv", "Gemm"}}
    (values,) = activations(model, list(layers.values()), [images])
    return {
        name: value.mean(axis=(0, *range(2, value.ndim))) for name, value in zip(layers, values, strict=True)
    }


def test_no_channel_is_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind every layer the means over the calibration pictures are those of the float network; rounding alone shifts them."""
    model = graph.clean(keras.load(SEED_CNN).convert(17))
    images = UNIT.applied(wardrobe.draw_set(20, 0)[0])
    right = means(model, images)
    found = means(quantize.quantize(model, images), images)
    monkeypatch.setattr(bias, "correct", uncorrected)
    before = means(quantize.quantize(model, images), images)
    assert right.keys() == found.keys() == before.keys()
    assert len(right) == 4
    for name, mean in right.items():
        shifted = np.abs(before[name] - mean).mean()
        assert np.abs(found[name] - mean).mean() < shifted / 4, name


def test_a_layer_without_a_bias_is_left_alone(tmp_path: Path) -> None:
    """A network whose layers have no biases is quantised as before, with none added."""
    keras_: Any = import_keras()
    network = keras_.Sequential(
        [
            keras_.Input((28, 28, 1)),
            keras_.layers.Conv2D(4, 3, use_bias=False, activation="relu"),
            keras_.layers.Conv2D(4, 3, use_bias=False),
            keras_.layers.Flatten(),
            keras_.layers.Dense(10, use_bias=False, activation="softmax"),
        ]
    )
    network.save(tmp_path / "x.keras")
    model = graph.clean(keras.load(tmp_path / "x.keras").convert(17))
    made = quantize.quantize(model, UNIT.applied(wardrobe.draw_set(20, 0)[0]))
    assert [len(node.input) for node in made.graph.node if node.op_type == "Conv"] == [2, 2]
