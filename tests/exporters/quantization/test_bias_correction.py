"""Bias correction after quantisation of the weights."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import wardrobe
from edge_fm.models import edge
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import bias_correction, layerwise, static
from edge_fm_exporters.quantization.activations import activations, opened
from edge_fm_exporters.sources import keras
from edge_fm_runtime.artifact.input_spec import InputSpec
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
    """Behind every layer, the means over the calibration images are those of the float network."""
    model = cleanup.clean(keras.load(SEED_CNN).convert(17))
    images = UNIT.apply(wardrobe.draw_set(20, 0)[0])
    right = means(model, images)
    found = means(static.quantize(model, images), images)
    monkeypatch.setattr(bias_correction, "correct", uncorrected)
    before = means(static.quantize(model, images), images)
    assert right.keys() == found.keys() == before.keys()
    assert len(right) == 4
    for name, mean in right.items():
        shifted = np.abs(before[name] - mean).mean()
        assert np.abs(found[name] - mean).mean() < shifted / 4, name


def biases(model: ModelProto) -> dict[str, NDArray[np.int32]]:
    """Return the quantised biases, by name."""
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: value for name, value in stored.items() if value.dtype == np.int32}


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    """Return a float network whose layers have biases and are read by more than one other."""
    keras_ = import_keras()
    keras_.utils.set_random_seed(0)
    network = edge.build(edge.Width(4, 6, 8, full_blocks=1), InputSpec(28, 28, 1), 10, "edge")
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras_.layers.BatchNormalization):
            scale, shift, mean, variance = layer.get_weights()
            layer.set_weights([scale, rng.normal(0, 0.1, len(shift)), mean, variance])
    path = tmp_path_factory.mktemp("residual") / "x.keras"
    network.save(path)
    return cleanup.clean(keras.load(path).convert(17))


@pytest.mark.parametrize("most_held", [pytest.param(0, marks=pytest.mark.slow), 2**28])
def test_what_is_kept_between_layers_changes_nothing(
    residual: ModelProto, monkeypatch: pytest.MonkeyPatch, most_held: int
) -> None:
    """Caching between layers changes no bias, with memory for it or without."""
    images = UNIT.apply(wardrobe.draw_set(10, 0)[0])
    batches = [images[:50], images[50:]]
    with monkeypatch.context() as patched:
        patched.setattr(bias_correction, "correct", uncorrected)
        plain = static.quantize(residual, images)
    right, found = type(plain)(), type(plain)()
    right.CopyFrom(plain)
    found.CopyFrom(plain)

    def from_the_front(
        self: layerwise.LayerwiseRunner, layer: Any, _later: object
    ) -> Iterator[NDArray[np.float32]]:
        yield from (
            values[0] for values in activations(self._model, [layer.output[0]], batches, optimised=True)
        )

    with monkeypatch.context() as patched:
        patched.setattr(layerwise.LayerwiseRunner, "outputs", from_the_front)
        bias_correction.correct(right, residual, batches)
    monkeypatch.setattr(layerwise, "_MOST_HELD", most_held)
    bias_correction.correct(found, residual, batches)
    before, expected, corrected = (biases(model) for model in (plain, right, found))
    assert len(expected) > 5
    assert sum(int((expected[name] != before[name]).sum()) for name in expected) > len(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(corrected[name], value)


def test_no_layer_is_run_for_each_of_those_behind_it(
    residual: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each weighted layer is run once to be seen, and once for all that are behind it."""
    ran: list[str] = []

    def counting(model: ModelProto, *, optimised: bool) -> object:
        ran.extend(node.name for node in model.graph.node if node.op_type in {"Conv", "Gemm"})
        return opened(model, optimised=optimised)

    monkeypatch.setattr(layerwise, "opened", counting)
    static.quantize(residual, UNIT.apply(wardrobe.draw_set(20, 0)[0]))
    times = Counter(ran)
    assert len(times) == sum(node.op_type in {"Conv", "Gemm"} for node in residual.graph.node)
    assert max(times.values()) == 2


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
    model = cleanup.clean(keras.load(tmp_path / "x.keras").convert(17))
    made = static.quantize(model, UNIT.apply(wardrobe.draw_set(20, 0)[0]))
    assert [len(node.input) for node in made.graph.node if node.op_type == "Conv"] == [2, 2]
