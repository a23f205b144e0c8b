"""The float stem: its nodes, its equality, and the kernels that onnxruntime chooses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm.datasets import Dataset
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT, parse_scale
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
        OnnxSession(given.file(search.build(QuantizationSettings(float_stem=flag), given))).run(
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
        given.file(search.build(QuantizationSettings(float_stem=True), given)), tmp_path
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
    built = search.build(QuantizationSettings(float_stem=True), given)
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
    built = search.build(QuantizationSettings(float_stem=float_stem), given)
    assert float_stem_module.with_channels_last(built) is built


COLOUR = InputSpec(32, 32, 3)


def separable(*, alpha: int = 1, pointwise: bool = True, residual: bool = False) -> Any:
    """Return a colour network that begins as MobileNets do.

    Args:
        alpha: depth multiplier of the depthwise convolution.
        pointwise: whether a 1x1 convolution follows it.
        residual: whether the first convolution's output is added again behind it.
    """
    k = import_keras()
    k.utils.set_random_seed(0)
    image = k.Input(COLOUR.shape)
    first = k.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(image)
    x = k.layers.DepthwiseConv2D(3, padding="same", activation="relu6", depth_multiplier=alpha)(first)
    x = k.layers.Conv2D(8, 1 if pointwise else 3)(x)
    x = k.layers.Add()([first, x]) if residual else x
    x = k.layers.Conv2D(16, 1, activation="relu6")(x)
    x = k.layers.GlobalAveragePooling2D()(x)
    wide = k.initializers.RandomNormal(stddev=4, seed=0)  # so that the pixels move the probabilities
    return k.Model(image, k.layers.Dense(4, activation="softmax", kernel_initializer=wide)(x))


def cleaned(network: Any) -> Any:
    """Return a colour network as an export cleans it."""
    return cleanup.clean(as_onnx(network, COLOUR))


def test_the_stem_of_a_colour_network_ends_behind_its_depthwise_convolution() -> None:
    """The pointwise convolution belongs to it, any other convolution does not."""
    through = ("transpose_1", "conv_1", "clip_1", "conv_2", "clip_2")
    assert float_stem_module.nodes(cleaned(separable())) == (*through, "conv_3")
    assert float_stem_module.nodes(cleaned(separable(pointwise=False))) == through


@pytest.mark.parametrize("scale", ["unit", "standard:127.5:127.5", "standard:128:64", "imagenet", "caffe"])
def test_the_stem_scales_the_pixels_as_the_network_expects_them(scale: str) -> None:
    """Bytes give the float network's answers for scaled pixels, also where the padding stands for a mean."""
    network = separable()
    own = parse_scale(scale, None).in_rgb()
    images = np.random.default_rng(0).integers(0, 256, (6, *COLOUR.shape), np.uint8)
    model = cleaned(network)
    file = float_stem_module.with_uint8_input(model, float_stem_module.nodes(model), COLOUR, own)
    expected = np.asarray(network(own.apply(images)))
    assert np.abs(expected - 1 / 4).max() > 0.01
    assert np.abs(OnnxSession(file.SerializeToString()).run(images) - expected).max() < 1e-5


@pytest.mark.parametrize("scale", ["unit", "standard:127.5:127.5", "standard:128:64"])
def test_a_colour_stem_runs_in_float_and_the_rest_in_integers(scale: str, tmp_path: Path) -> None:
    """Three convolutions run in float with their Clips fused, and no Clip is left behind them."""
    own = parse_scale(scale, None)
    images = np.random.default_rng(0).integers(0, 256, (24, *COLOUR.shape), np.uint8)
    network = separable()
    given = search.QuantizationInputs(
        model=cleaned(network),
        spec=COLOUR,
        scale=own,
        calibration=own.apply(images),
        selection=LabelledImages("noise", "drawn", images, None),
        expected=np.asarray(network(own.apply(images))),
    )
    file = given.file(search.build(QuantizationSettings(float_stem=True), given))
    kinds = run_by_onnxruntime(file, tmp_path)
    before, after = (
        kinds[: kinds.index("QuantizeLinear")],
        kinds[kinds.index("QuantizeLinear") :],
    )
    assert [kind.removeprefix("Fused") for kind in before if "Conv" in kind] == ["Conv"] * 3
    assert after.count("QLinearConv") == 1
    assert "Clip" not in kinds
    assert np.abs(OnnxSession(file).run(images) - given.expected).mean() < 0.01


@pytest.mark.parametrize(
    "network", [lambda: separable(alpha=2), lambda: separable(residual=True)], ids=["multiplier", "residual"]
)
def test_what_is_no_depthwise_stem_is_left_alone(network: Any) -> None:
    """A depth multiplier, or a sum that takes the first convolution's output, leaves no stem."""
    assert float_stem_module.nodes(cleaned(network())) == ()


def test_a_depthwise_convolution_of_pixels_is_no_stem() -> None:
    """A first convolution of one channel each for three colours is not taken for one of one channel."""
    k = import_keras()
    network = k.Sequential(
        [
            k.Input(COLOUR.shape),
            k.layers.DepthwiseConv2D(3),
            k.layers.Flatten(),
            k.layers.Dense(4, activation="softmax"),
        ]
    )
    assert float_stem_module.nodes(cleaned(network)) == ()


def test_networks_without_such_a_stem() -> None:
    """Three channels without a depthwise convolution behind them, or a dense first layer, have none."""
    layers = import_keras().layers
    for shape, first in (((28, 28, 3), layers.Conv2D(4, 3)), ((28, 28, 1), layers.Dense(4))):
        network = import_keras().Sequential(
            [import_keras().Input(shape), first, layers.Flatten(), layers.Dense(10, activation="softmax")]
        )
        assert float_stem_module.nodes(cleanup.clean(as_onnx(network, InputSpec(*shape)))) == ()
