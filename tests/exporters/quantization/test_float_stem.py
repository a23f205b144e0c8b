"""The float stem: its nodes, its equality, and the kernels that onnxruntime chooses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm.datasets import Dataset
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import float_stem as float_stem_module
from edge_fm_exporters.quantization import search
from edge_fm_exporters.quantization.static import QuantizationSettings
from edge_fm_exporters.sources import keras
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import OnnxSession
from tests.exporters.networks import SEED_CNN, as_onnx, run_by_onnxruntime

GREY = InputSpec(28, 28, 1)

pytestmark = pytest.mark.train


def material(model: Any, predict: Any, wardrobe: Dataset) -> search.QuantizationInputs:
    """Return what a search works on: a fifth of the pictures to calibrate on, the rest to choose on."""
    calibration, choice = wardrobe.train.take(np.arange(200)), wardrobe.train.take(np.arange(200, 1000))
    pictures = LabelledImages("the choice", "training", choice.images, choice.labels)
    expected = np.asarray(predict(UNIT.apply(pictures.images)))
    return search.QuantizationInputs(
        model=model,
        spec=GREY,
        scale=UNIT,
        calibration=UNIT.apply(calibration.images),
        selection=pictures,
        expected=expected,
    )


def pooled(activation: str | None = "relu") -> Any:
    """Return a network whose first convolution is pooled at once."""
    k = import_keras()
    return k.Sequential(
        [
            k.Input(GREY.shape),
            k.layers.Conv2D(8, 3, padding="same", activation=activation),
            k.layers.MaxPooling2D(),
            k.layers.Conv2D(16, 3, padding="same", activation="relu"),
            k.layers.Flatten(),
            k.layers.Dense(10, activation="softmax"),
        ]
    )


def residual() -> Any:
    """Return a network with a residual sum at full size, and a pooling behind it."""
    k = import_keras()
    image = k.Input(GREY.shape)
    x = k.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = k.layers.ReLU()(k.layers.Add()([x, k.layers.Conv2D(8, 3, padding="same")(x)]))
    x = k.layers.Flatten()(k.layers.MaxPooling2D()(x))
    return k.Model(image, k.layers.Dense(10, activation="softmax")(x))


def test_the_stem_is_the_first_layers(wardrobe: Dataset) -> None:
    """Convolution, Relu and pooling of one channel; the file with it in float answers as the one without."""
    source = keras.load(SEED_CNN)
    model = cleanup.clean(source.convert(17))
    assert float_stem_module.nodes(model) == ("reshape_1", "conv_1", "relu_1", "maxpool_1")
    given = material(model, source.predict, wardrobe)
    plain, stemmed = (
        OnnxSession(given.file(search._build(QuantizationSettings(float_stem=flag), given))).run(
            wardrobe.test.images
        )
        for flag in (False, True)
    )
    assert (plain.argmax(axis=1) == stemmed.argmax(axis=1)).mean() > 0.98
    assert np.abs(plain - stemmed).mean() < 0.01


@pytest.mark.parametrize("relu", [True, False])
def test_nothing_is_quantised_before_the_pooling(relu: bool, wardrobe: Dataset, tmp_path: Path) -> None:
    """A float stem is pooled in float and quantised afterwards."""
    network = pooled("relu" if relu else None)
    given = material(cleanup.clean(as_onnx(network, GREY)), network, wardrobe)
    kinds = run_by_onnxruntime(
        given.file(search._build(QuantizationSettings(float_stem=True), given)), tmp_path
    )
    before = kinds[: kinds.index("QuantizeLinear")]
    assert [kind for kind in before if kind in {"Conv", "MaxPool", "Relu", "Mul"}] == (
        ["Conv", "MaxPool"] if relu else ["Conv", "MaxPool", "Mul"]
    )
    assert "QLinearConv" in kinds


def test_a_sum_behind_the_stem_lies_as_convolutions_want_it(wardrobe: Dataset, tmp_path: Path) -> None:
    """A residual sum behind a float stem runs channels last, with the same bits."""
    import_keras().utils.set_random_seed(0)
    network = residual()
    given = material(cleanup.clean(as_onnx(network, GREY)), network, wardrobe)
    built = search._build(QuantizationSettings(float_stem=True), given)
    file = given.file(built)
    kinds = run_by_onnxruntime(file, tmp_path)
    assert "NhwcMaxPool" in kinds
    assert "MaxPool" not in kinds
    assert kinds[: kinds.index("QLinearAdd")].count("Transpose") == 1
    images = given.selection.images
    before, after = (OnnxSession(data).run(images) for data in (built.SerializeToString(), file))
    assert np.array_equal(before, after)
    assert len(np.unique(after.argmax(axis=1))) > 1


@pytest.mark.parametrize(("build", "float_stem"), [(residual, False), (pooled, True), (pooled, False)])
def test_what_lies_well_is_left_alone(build: Any, float_stem: bool, wardrobe: Dataset) -> None:
    """A stem in int8, and one behind which only convolutions read, have nothing to be turned."""
    network = build()
    given = material(cleanup.clean(as_onnx(network, GREY)), network, wardrobe)
    built = search._build(QuantizationSettings(float_stem=float_stem), given)
    assert float_stem_module.with_channels_last(built) is built


def test_networks_without_such_a_stem() -> None:
    """Three channels, or a dense first layer, have none."""
    layers = import_keras().layers
    for shape, first in (((28, 28, 3), layers.Conv2D(4, 3)), ((28, 28, 1), layers.Dense(4))):
        network = import_keras().Sequential(
            [import_keras().Input(shape), first, layers.Flatten(), layers.Dense(10, activation="softmax")]
        )
        assert float_stem_module.nodes(cleanup.clean(as_onnx(network, InputSpec(*shape)))) == ()
