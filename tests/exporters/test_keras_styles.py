"""Keras models in the styles that users have: exported and verified, or refused with a sentence that helps."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import ExportRequest, export, keras
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.scale import RAW, UNIT, Scale, read, standard
from edge_fm_exporters.scale_search import find
from edge_fm_exporters.source import SourceModel
from edge_fm_exporters.summary import summarise
from edge_fm_exporters.verify import Pictures
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ExportError, ModelError
from edge_fm_runtime.opencv import cv2
from edge_fm_runtime.replay import replay
from tests.conftest import RunCli

pytestmark = pytest.mark.train

Build = Callable[[], Any]


def branches() -> Any:
    """Return a functional network with two branches."""
    k = import_keras()
    image = k.Input((28, 28, 1))
    left = k.layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    right = k.layers.Conv2D(4, 5, padding="same", activation="relu")(image)
    joined = k.layers.Concatenate()([left, right])
    return k.Model(
        image, k.layers.Dense(5, activation="softmax")(k.layers.Flatten()(k.layers.MaxPooling2D(4)(joined)))
    )


def preprocessing_layers() -> Any:
    """Return a network that rescales, normalises, resizes and augments by itself."""
    k = import_keras()
    return k.Sequential(
        [
            k.Input((40, 40, 3)),
            k.layers.RandomFlip("horizontal"),
            k.layers.RandomRotation(0.1),
            k.layers.Rescaling(1 / 127.5, offset=-1),
            k.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7]),
            k.layers.Resizing(20, 20),
            k.layers.Conv2D(6, 3, activation="relu"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(4, activation="softmax"),
        ]
    )


def logits() -> Any:
    """Return a network without an activation at its end."""
    k = import_keras()
    return k.Sequential(
        [k.Input((28, 28, 1)), k.layers.Conv2D(4, 3, strides=2), k.layers.Flatten(), k.layers.Dense(10)]
    )


def sigmoids() -> Any:
    """Return a network with a sigmoid for each class."""
    k = import_keras()
    return k.Sequential([k.Input((28, 28, 1)), k.layers.Flatten(), k.layers.Dense(10, activation="sigmoid")])


def one_sigmoid() -> Any:
    """Return a network for two classes with one output."""
    k = import_keras()
    return k.Sequential([k.Input((28, 28, 1)), k.layers.Flatten(), k.layers.Dense(1, activation="sigmoid")])


def colour() -> Any:
    """Return a network for pictures of 64x64 in colour."""
    k = import_keras()
    return k.Sequential(
        [
            k.Input((64, 64, 3)),
            k.layers.Conv2D(8, 3, padding="same", activation="relu"),
            k.layers.AveragePooling2D(4),
            k.layers.Flatten(),
            k.layers.Dense(6, activation="softmax"),
        ]
    )


def depthwise() -> Any:
    """Return a network of separable convolutions with batch normalisation and ReLU6."""
    k = import_keras()
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            k.layers.Conv2D(8, 3, use_bias=False),
            k.layers.BatchNormalization(),
            k.layers.ReLU(6.0),
            k.layers.DepthwiseConv2D(3, use_bias=False),
            k.layers.BatchNormalization(),
            k.layers.ReLU(6.0),
            k.layers.SeparableConv2D(12, 3),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(10, activation="softmax"),
        ]
    )


def residual() -> Any:
    """Return a network with a shortcut."""
    k = import_keras()
    image = k.Input((28, 28, 1))
    x = k.layers.Conv2D(8, 3, padding="same")(image)
    y = k.layers.Activation("swish")(k.layers.BatchNormalization()(k.layers.Conv2D(8, 3, padding="same")(x)))
    x = k.layers.Add()([x, y])
    return k.Model(image, k.layers.Dense(10, activation="softmax")(k.layers.GlobalMaxPooling2D()(x)))


def norm_after_activation() -> Any:
    """Return a network that normalises after its activations."""
    k = import_keras()
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            k.layers.Conv2D(8, 3, activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.MaxPooling2D(),
            k.layers.Flatten(),
            k.layers.Dense(20, activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.Dropout(0.5),
            k.layers.Dense(10, activation="softmax"),
        ]
    )


def half_precision() -> Any:
    """Return a network under the policy mixed_float16."""
    k = import_keras()
    policy = k.mixed_precision.dtype_policy()
    k.mixed_precision.set_global_policy("mixed_float16")
    try:
        return k.Sequential(
            [
                k.Input((28, 28, 1)),
                k.layers.Conv2D(8, 3, activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(10),
                k.layers.Activation("softmax", dtype="float32"),
            ]
        )
    finally:
        k.mixed_precision.set_global_policy(policy)


STYLES: dict[str, Build] = {
    build.__name__: build
    for build in (
        branches,
        preprocessing_layers,
        logits,
        sigmoids,
        one_sigmoid,
        colour,
        depthwise,
        residual,
        norm_after_activation,
        half_precision,
    )
}


def shaken(model: Any) -> Any:
    """Give every weight, running mean and variance a value that a training could have left."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if np.issubdtype(
            np.dtype(variable.dtype if variable.dtype != "bfloat16" else "float32"), np.floating
        ):
            value = np.asarray(variable)
            variable.assign(
                np.abs(value + rng.normal(0, 0.1, value.shape))
                if "variance" in variable.name
                else value + rng.normal(0, 0.1, value.shape)
            )
    return model


@pytest.mark.parametrize(
    ("style", "kind"),
    [*((style, "keras") for style in STYLES), ("branches", "h5"), ("logits", "h5"), ("residual", "h5")],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_exports_and_verifies(style: str, kind: str, tmp_path: Path) -> None:
    """The file answers as the source within 1e-5 on noise, sums to one, and replays; what was added is said."""
    path = tmp_path / f"model.{kind}"
    shaken(STYLES[style]()).save(path)
    source = keras.load(path)
    labels = tuple(f"class {n}" for n in range(source.classes))
    scale = RAW if style == "preprocessing_layers" else UNIT
    export(ExportRequest(path, tmp_path / "model.onnx", labels, scale), None, source)
    classifier = Classifier.load(tmp_path / "model.onnx")
    images = np.random.default_rng(1).integers(0, 256, (20, *source.spec.shape), np.uint8)
    answers = classifier.probabilities(images)
    np.testing.assert_allclose(answers, source.predict(scale.applied(images)), atol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert not [result for result in replay(classifier) if result.stage]
    kinds = summarise((tmp_path / "model.onnx").read_bytes()).kinds
    assert (
        not {"Shape", "Identity", "Dropout", "BatchNormalization"} & kinds.keys()
        or style == "norm_after_activation"
    )
    assert kinds.get("Transpose", 0) <= (1 if source.spec.channels == 3 else 0), kinds
    assert bool(source.added) is (style in {"logits", "sigmoids", "one_sigmoid", "half_precision"})


def _seen(source: SourceModel, scale: Scale, path: Path) -> tuple[float, Counter[str]]:
    """Export, and return the largest difference of a probability on noise and the kinds of nodes."""
    labels = tuple(f"class {n}" for n in range(source.classes))
    export(ExportRequest(source.path, path, labels, scale), None, source)
    images = np.random.default_rng(1).integers(0, 256, (20, *source.spec.shape), np.uint8)
    answers = Classifier.load(path).probabilities(images)
    difference = np.abs(answers - source.predict(scale.applied(images))).max()
    return float(difference), Counter(summarise(path.read_bytes()).kinds)


@pytest.mark.parametrize(
    ("scale", "channels", "shifts"),
    [
        (Scale("standard", (73.0,), (90.0,)), 1, 0),  # a pixel's value becomes zero: DequantizeLinear does it
        (Scale("standard", (72.94,), (90.02,)), 1, 1),
        (Scale("standard", (127.5,), (127.5,)), 1, 1),
        (Scale("standard", (120.0, 110.0, 100.0), (60.0, 59.0, 58.0)), 3, 0),
        (Scale("standard", (123.68, 116.78, 103.94), (58.4, 57.1, 57.4)), 3, 1),
        (Scale("standard", (9.0, 9.0, 9.0), (58.4, 57.1, 57.4)), 3, 0),
    ],
)
def test_standardised_pixels(scale: Scale, channels: int, shifts: int, tmp_path: Path) -> None:
    """A mean and a deviation for each channel are in the file: one node, and one Add where no pixel becomes zero."""
    k = import_keras()
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = _seen(keras.load(tmp_path / "model.keras"), scale, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, shifts, 0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_that_scale_become_the_one_node(channels: int, tmp_path: Path) -> None:
    """Rescaling and a Normalization with given figures are taken out of the graph and into the node at the input."""
    k = import_keras()
    mean, variance = [0.1, 0.2, 0.3][:channels], [0.5, 0.6, 0.7][:channels]
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Rescaling(1 / 127.5, offset=-1),
                k.layers.Normalization(mean=mean, variance=variance),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = _seen(keras.load(tmp_path / "model.keras"), RAW, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, 1, 0, 0)


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
    difference, kinds = _seen(keras.load(tmp_path / "model.keras"), UNIT, tmp_path / "m.onnx")
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
    request = ExportRequest(tmp_path / "model.keras", tmp_path / "m.onnx", ("a", "b", "c"), UNIT)
    with pytest.raises(ExportError, match=r"'bins' computes Bucketize.*before training.*tf2onnx"):
        export(request, None)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grey", "expected unit, raw, standard"),
        ("standard:1", "expected unit, raw, standard"),
        ("standard:a:b", "expected unit, raw, standard"),
        ("standard:1:0", "above zero"),
        ("standard:1,2:3", "as many means as deviations"),
        ("standard:nan:1", "above zero"),
        ("standard", "--data"),
    ],
)
def test_a_scale_that_says_nothing(text: str, said: str) -> None:
    """Each mistake is answered with what can be written."""
    with pytest.raises(ExportError, match=said):
        read(text, None)


def test_means_for_other_channels_are_refused(tmp_path: Path) -> None:
    """Three means for a grey network are a sentence that says both numbers, not a failure inside Keras."""
    k = import_keras()
    k.Sequential([k.Input((8, 8, 1)), k.layers.Flatten(), k.layers.Dense(3, activation="softmax")]).save(
        tmp_path / "model.keras"
    )
    request = ExportRequest(
        tmp_path / "model.keras", tmp_path / "m.onnx", ("a", "b", "c"), read("standard:1,2,3:4,5,6", None)
    )
    with pytest.raises(ExportError, match="3 means, and the pictures have 1 channel:"):
        export(request, None)
    assert not (tmp_path / "m.onnx").exists()


def test_the_scale_of_two_classes_is_found(tmp_path: Path) -> None:
    """With two classes chance is one half, and a network that is right nine times in ten has learnt something."""
    k = import_keras()
    labels = np.arange(200) % 2
    images = np.where(labels[:, None, None, None] == 1, 200, 60).astype(np.uint8) * np.ones(
        (1, 8, 8, 1), np.uint8
    )
    model = k.Sequential(
        [k.Input((8, 8, 1)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(2, activation="softmax")]
    )
    # Bright is above one half of [0, 1]; of [0, 255] everything is.
    model.layers[-1].set_weights([np.array([[-9.0, 9.0]]), np.array([4.5, -4.5])])
    model.save(tmp_path / "model.keras")
    flipped = np.where(np.arange(200) % 10 == 0, 1 - labels, labels)
    found, scores = find(keras.load(tmp_path / "model.keras"), Pictures("shades", "train", images, flipped))
    assert found == UNIT
    assert dict(scores)[UNIT] == pytest.approx(0.9)


def test_the_scale_is_found_among_all(tmp_path: Path) -> None:
    """A network that is right only on standardised pixels has them found on training pictures, and their mean is the data's own."""
    k = import_keras()
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    shades = np.array([20, 90, 160])[labels]
    images = np.clip(shades[:, None, None, None] + rng.normal(0, 9, (300, 8, 8, 1)), 0, 255).astype(np.uint8)
    scale = standard(images)
    mean = k.Sequential(
        [k.Input((8, 8, 1)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(3, activation="softmax")]
    )
    # Dark is below -0.6 deviations, bright above 0.6, which no other scale of these pixels spans alike.
    mean.layers[-1].set_weights([np.array([[-20.0, 0.0, 20.0]]), np.array([-12.0, 0.0, -12.0])])
    mean.save(tmp_path / "model.keras")
    found, scores = find(keras.load(tmp_path / "model.keras"), Pictures("shades", "train", images, labels))
    assert found == scale
    assert max(score for _, score in scores) == 1.0
    assert scale.applied(images).mean() == pytest.approx(0, abs=1e-4)
    assert scale.applied(images).std() == pytest.approx(1, abs=1e-4)


def test_two_classes_from_one_sigmoid(tmp_path: Path) -> None:
    """One output is the probability of the second label."""
    model = shaken(one_sigmoid())
    model.save(tmp_path / "model.keras")
    source = keras.load(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
    np.testing.assert_allclose(source.predict(pixels)[:, 1], np.asarray(model(pixels))[:, 0], atol=1e-6)


def test_a_subclassed_model_is_refused_with_a_way_round(tmp_path: Path) -> None:
    """A class of the user's own is code that the file does not bring: it is named, and so is what to save instead."""
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
        ((None, None, 3), 4, "fixed height and width"),
        ((28, 28, 2), 4, "1 or 3 channels"),
        ((784,), 4, "expected pictures"),
    ],
)
def test_inputs_that_are_no_pictures(
    shape: tuple[int | None, ...], outputs: int, said: str, tmp_path: Path
) -> None:
    """A free size, two channels or a row of numbers is a sentence."""
    k = import_keras()
    pooled = [k.layers.GlobalAveragePooling2D()] if len(shape) == 3 else []
    k.Sequential([k.Input(shape), *pooled, k.layers.Dense(outputs, activation="softmax")]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ModelError, match=said):
        keras.load(tmp_path / "m.keras")


class TestOptions:
    """What `edge-fm export` lets one say about the file."""

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
