"""Fine-tuning for int8: what is trained is the file, and it ends nearer to its source."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import finetune, graph, int8, keras, trainable
from edge_fm_exporters.finetune import Tuning
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.quantize import Recipe
from edge_fm_exporters.scale import UNIT
from edge_fm_exporters.verify import Pictures
from edge_fm_runtime.errors import ExportError
from edge_fm_runtime.session import OnnxSession
from tests.conftest import RunCli
from tests.exporters.networks import shaken

pytestmark = pytest.mark.train


def residual() -> Any:
    """Return a network with a residual block, a depthwise convolution, ReLU6 and an average at the end."""
    k = import_keras()
    image = k.Input((28, 28, 1))
    x = k.layers.MaxPooling2D()(k.layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    y = k.layers.BatchNormalization()(k.layers.Conv2D(8, 3, padding="same", use_bias=False)(x))
    x = k.layers.ReLU()(k.layers.Add()([x, y]))
    x = k.layers.ReLU(6)(
        k.layers.BatchNormalization()(k.layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    )
    return k.Model(image, k.layers.Dense(10, activation="softmax")(k.layers.GlobalAveragePooling2D()(x)))


def flat() -> Any:
    """Return a network with pooling, two branches and dense layers."""
    k = import_keras()
    image = k.Input((28, 28, 1))
    left = k.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    right = k.layers.AveragePooling2D(2)(k.layers.Conv2D(4, 5, padding="same", activation="relu")(image))
    joined = k.layers.Flatten()(k.layers.Concatenate()([left, right]))
    dense = k.layers.Dense(12, activation="relu")(joined)
    return k.Model(image, k.layers.Dense(10, activation="softmax")(dense))


def colour() -> Any:
    """Return a network of three channels."""
    k = import_keras()
    image = k.Input((28, 28, 3))
    x = k.layers.MaxPooling2D(4)(k.layers.Conv2D(6, 3, padding="same", activation="relu")(image))
    return k.Model(image, k.layers.Dense(10, activation="softmax")(k.layers.Flatten()(x)))


def prepared(build: Any, path: Path) -> int8.Material:
    """Return what a search works on, with noise for pictures."""
    import_keras().utils.set_random_seed(0)
    shaken(build()).save(path)
    source = keras.load(path)
    images = np.random.default_rng(0).integers(0, 256, (200, *source.spec.shape), np.uint8)
    expected = source.predict(UNIT.applied(images))
    model, scale = graph.without_scaling(graph.clean(source.convert(17)), UNIT)
    pictures = Pictures("noise", "drawn", images, None)
    return int8.Material(model, source.spec, scale, scale.applied(images), pictures, expected)


@pytest.mark.parametrize(
    ("build", "recipe"),
    [
        (residual, Recipe()),
        (residual, Recipe(float_stem=True)),
        (residual, Recipe(float_nodes=("conv_2",))),
        (flat, Recipe()),
        (colour, Recipe()),
    ],
)
def test_the_network_that_is_trained_is_the_file(build: Any, recipe: Recipe, tmp_path: Path) -> None:
    """Before the first step the Keras network answers as onnxruntime does with the quantised file, on every kind of graph."""
    material = prepared(build, tmp_path / "m.keras")
    model = int8._built(recipe, material)
    network = trainable.network(trainable.Graph(model, material.model), material.spec.shape)
    images = material.pictures.images[:50]
    answers = np.asarray(network(images.astype(np.float32)))
    # A value on the edge between two steps may fall to either side, so single answers may be a step apart.
    difference = np.abs(answers - OnnxSession(model.SerializeToString()).run(images))
    assert difference.mean() < 2e-3
    assert np.median(difference.max(axis=1)) < 1e-3


def test_written_without_training_is_the_same_file(tmp_path: Path) -> None:
    """Numbers that were not trained are written back as they were: weights within a rounding, scales and answers alike."""
    from onnx import numpy_helper

    material = prepared(residual, tmp_path / "m.keras")
    model = int8._built(Recipe(), material)
    read = trainable.Graph(model, material.model)
    written = read.written(read.start)
    assert [node.name for node in written.graph.node] == [node.name for node in model.graph.node]
    for old, new in zip(model.graph.initializer, written.graph.initializer, strict=True):
        before, after = numpy_helper.to_array(old), numpy_helper.to_array(new)
        assert before.dtype == after.dtype
        assert before.shape == after.shape
        if before.dtype == np.int8:
            assert np.abs(before.astype(int) - after).max() <= 1
    images = material.pictures.images
    answers = OnnxSession(written.SerializeToString()).run(images)
    assert np.abs(answers - OnnxSession(model.SerializeToString()).run(images)).mean() < 2e-3


def test_tuning_brings_a_coarse_file_nearer(tmp_path: Path) -> None:
    """Scales that are far too wide for the values lose much; fine-tuning on the source's answers wins most of it back."""
    from onnx import numpy_helper

    material = prepared(flat, tmp_path / "m.keras")
    model = int8._built(Recipe(), material)
    for tensor in model.graph.initializer:
        if tensor.name in trainable.Graph(model, material.model).scales:
            wide = numpy_helper.to_array(tensor) * 24
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    images, expected = material.pictures.images, material.expected

    def off(file: Any) -> float:
        return float(np.abs(OnnxSession(file.SerializeToString()).run(images) - expected).mean())

    told: list[tuple[int, float]] = []
    tuning = Tuning(images, expected, epochs=60)
    tuned = finetune.finetune(model, material.model, tuning, lambda epoch, share: told.append((epoch, share)))
    assert off(tuned) < off(model)
    assert told[0][0] == 1
    assert told[-1] == (60, 1.0)


def test_a_graph_that_cannot_be_trained(tmp_path: Path) -> None:
    """The operator is named, and what to leave out."""
    k = import_keras()

    def build() -> Any:
        image = k.Input((28, 28, 1))
        x = k.layers.Conv2D(4, 3, strides=3, activation="elu")(image)
        return k.Model(image, k.layers.Dense(10, activation="softmax")(k.layers.Flatten()(x)))

    material = prepared(build, tmp_path / "m.keras")
    model = int8._built(Recipe(), material)
    with pytest.raises(ExportError, match=r"--qat cannot train a graph with Elu"):
        finetune.finetune(
            model, material.model, Tuning(material.pictures.images, material.expected, 1), lambda *_: None
        )


@pytest.mark.slow
def test_from_the_command_line(cli: RunCli, tmp_path: Path) -> None:
    """--qat adds a candidate to the table, says so in the passport if it is taken, and needs --int8."""
    shaken(flat()).save(tmp_path / "m.keras")
    arguments = (
        "export",
        tmp_path / "m.keras",
        "--data",
        "wardrobe",
        "--scale",
        "unit",
        "-o",
        tmp_path / "m.onnx",
    )
    refused = cli(*arguments, "--qat", "1")
    assert refused.code == 2
    assert "--int8" in refused.err
    done = cli(*arguments, "--int8", "--qat", "1", "--max-drop", "1", "--max-class-drop", "1")
    assert "tuned 1 epochs" in done.out
