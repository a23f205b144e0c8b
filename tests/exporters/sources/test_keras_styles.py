"""Keras models in common styles: exported and verified, or refused with a remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph.summary import summarise
from edge_fm_exporters.normalization.scale import RAW, UNIT
from edge_fm_exporters.sources import keras
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ExportError, ModelError
from edge_fm_runtime.golden import replay
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli
from tests.exporters.networks import STYLES, branches, exported, one_sigmoid, shaken

pytestmark = pytest.mark.train

Build = Callable[[], Any]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("style", "kind"),
    [*((style, "keras") for style in STYLES), ("branches", "h5"), ("logits", "h5"), ("residual", "h5")],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_exports_and_verifies(style: str, kind: str, tmp_path: Path) -> None:
    """The file answers as its source within 1e-5 on noise, sums to one, and verifies."""
    path = tmp_path / f"model.{kind}"
    shaken(STYLES[style]()).save(path)
    source = keras.load(path)
    labels = tuple(f"class {n}" for n in range(source.classes))
    scale = RAW if style == "preprocessing_layers" else UNIT
    export(
        ExportRequest(source=path, output=tmp_path / "model.onnx", labels=labels, scale=scale), None, source
    )
    classifier = Classifier.load(tmp_path / "model.onnx")
    images = np.random.default_rng(1).integers(0, 256, (20, *source.spec.shape), np.uint8)
    answers = classifier.probabilities(images)
    np.testing.assert_allclose(answers, source.predict(scale.apply(images)), atol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert not [result for result in replay(classifier) if result.stage]
    kinds = summarise((tmp_path / "model.onnx").read_bytes()).kinds
    assert (
        not {"Shape", "Identity", "Dropout", "BatchNormalization"} & kinds.keys()
        or style == "norm_after_activation"
    )
    assert kinds.get("Transpose", 0) <= (1 if source.spec.channels == 3 else 0), kinds
    assert bool(source.notes) is (
        style in {"logits", "sigmoids", "one_sigmoid", "half_precision", "preprocessing_layers"}
    )


@pytest.mark.parametrize(
    "activation", ["gelu", "silu", "mish", "leaky_relu", "hard_sigmoid", "elu", "softplus"]
)
def test_activations(activation: str, tmp_path: Path) -> None:
    """Every usual activation is exported, an exact GELU too, whose operator ONNX lacks."""
    k = import_keras()
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, 1)),
                k.layers.Conv2D(4, 3, activation=activation),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = exported(keras.load(tmp_path / "model.keras"), UNIT, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert not kinds["Transpose"]


def test_a_layer_that_onnx_cannot_do_is_named(tmp_path: Path) -> None:
    """The message names the layer, its operator, a way round, and the versions."""
    k = import_keras()
    k.Sequential(
        [
            k.Input((8, 8, 1)),
            k.layers.Discretization(bin_boundaries=[0.3, 0.6], name="bins"),
            k.layers.Flatten(),
            k.layers.Dense(3, activation="softmax"),
        ]
    ).save(tmp_path / "model.keras")
    request = ExportRequest(
        source=tmp_path / "model.keras", output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT
    )
    with pytest.raises(ExportError, match=r"'bins' computes Bucketize.*before training.*tf2onnx"):
        export(request, None)
    assert not (tmp_path / "m.onnx").exists()


def test_two_classes_from_one_sigmoid(tmp_path: Path) -> None:
    """One output is the probability of the second label."""
    model = shaken(one_sigmoid())
    model.save(tmp_path / "model.keras")
    source = keras.load(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
    np.testing.assert_allclose(source.predict(pixels)[:, 1], np.asarray(model(pixels))[:, 0], atol=1e-6)


def test_a_subclassed_model_is_refused_with_a_way_round(tmp_path: Path) -> None:
    """A subclassed model is refused by name, with what to save instead."""
    k = import_keras()

    class Mine(k.Model):  # type: ignore[name-defined,misc]
        """A user's own class."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.dense = k.layers.Dense(10, activation="softmax")

        def call(self, image: Any) -> Any:
            return self.dense(k.ops.reshape(image, (-1, 784)))

    model = Mine()
    model(np.zeros((1, 28, 28, 1), np.float32))
    model.save(tmp_path / "mine.keras")
    with pytest.raises(
        ModelError, match=r"class of your own, Mine.*keras\.Model\(image, model\.call\(image\)\)"
    ):
        keras.load(tmp_path / "mine.keras")
    image = k.Input((28, 28, 1))
    k.Model(image, model.call(image)).save(tmp_path / "functional.keras")
    assert keras.load(tmp_path / "functional.keras").classes == 10


@pytest.mark.parametrize(
    ("shape", "outputs", "said"),
    [
        ((None, None, 3), 4, "--size 224x224"),
        ((28, 28, 2), 4, "1 or 3 channels"),
        ((4,), 4, "a table of features"),
        ((770,), 4, "--size 24x32"),
    ],
)
def test_inputs_that_are_no_pictures(
    shape: tuple[int | None, ...], outputs: int, said: str, tmp_path: Path
) -> None:
    """A free size, two channels, few numbers or a vector of no square is refused with the way on."""
    k = import_keras()
    pooled = [k.layers.GlobalAveragePooling2D()] if len(shape) == 3 else []
    k.Sequential([k.Input(shape), *pooled, k.layers.Dense(outputs, activation="softmax")]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ModelError, match=said):
        keras.load(tmp_path / "m.keras")


@pytest.mark.slow
class TestOptions:
    """Options of `edge-fm export`."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        """Return a small network."""
        path = tmp_path / "model.keras"
        shaken(branches()).save(path)
        return path

    def run(self, cli: RunCli, model: Path, *options: object) -> Classifier:
        """Export with options."""
        line = ("export", model, "--labels", "a,b,c,d,e", "--scale", "unit", "-o", model.with_suffix(".onnx"))
        done = cli(*line, *options)
        assert done.code == 0, done.err
        return Classifier.load(model.with_suffix(".onnx"))

    def test_a_model_read_from_paper(self, cli: RunCli, model: Path) -> None:
        """--polarity invert turns a picture's greys round on the device, and golden inputs still replay."""
        inverted = self.run(cli, model, "--polarity", "invert", "--fit", "crop")
        assert not [result for result in replay(inverted) if result.stage]
        picture = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
        plain = self.run(cli, model)
        ours = inverted.tensor(cv2.imencode(".png", picture)[1].tobytes())
        theirs = plain.tensor(cv2.imencode(".png", 255 - picture)[1].tobytes())
        np.testing.assert_array_equal(ours, theirs)
        assert inverted.passport.preprocess.fit == "crop"

    def test_a_fixed_batch(self, cli: RunCli, model: Path) -> None:
        """--batch 8 takes eight at a time, and any number of pictures is still answered alike."""
        import onnx

        images = np.random.default_rng(0).integers(0, 256, (11, 28, 28, 1), np.uint8)
        free = self.run(cli, model).probabilities(images)
        fixed = self.run(cli, model, "--batch", 8)
        graph = onnx.load(model.with_suffix(".onnx")).graph
        assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 8
        np.testing.assert_allclose(fixed.probabilities(images), free, atol=1e-6)

    @pytest.mark.parametrize("opset", [15, 17, 18])
    def test_operator_sets(self, opset: int, cli: RunCli, model: Path) -> None:
        """--opset is the file's, and it answers."""
        import onnx

        self.run(cli, model, "--opset", opset)
        (known,) = onnx.load(model.with_suffix(".onnx")).opset_import
        assert known.version == opset
