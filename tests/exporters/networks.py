"""Small Keras networks in common styles, and the answers of their exported files."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm.demo import samples
from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph.summary import summarise
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.tensorflow_graph import TensorFlowNetwork
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.classifier import Classifier

Build = Callable[[], Any]
Layers = Callable[[Any], list[Any]]

SEED_CNN = samples.CHECKOUT / "cnn.keras"
"""The CNN that ships with the samples, trained on Fashion-MNIST alone."""


def save(path: Path, layers: Layers, *, shape: tuple[int, int, int] = (28, 28, 1)) -> Path:
    """Build and save a small Keras model."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    keras.Sequential([keras.Input(shape), *layers(keras.layers)]).save(path)
    return path


def as_onnx(network: Any, spec: InputSpec) -> Any:
    """Return a network as the Keras source converts it."""
    return TensorFlowNetwork(lambda image: network(image, training=False), (None, *spec.shape)).convert(17)


def small(layers: Any) -> list[Any]:
    """Return a tiny classifier's layers."""
    return [
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    ]


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


def inverted_residuals(*, pad_value: int = 0) -> Any:
    """Return a colour network of 32x32 with the blocks of MobileNetV2, and a shortcut.

    Args:
        pad_value: what the first block is padded with; 0 as in MobileNetV2.
    """
    k = import_keras()
    k.utils.set_random_seed(0)

    def normed(x: Any, *, bounded: bool = True) -> Any:
        x = k.layers.BatchNormalization()(x)
        return k.layers.ReLU(6.0)(x) if bounded else x

    image = k.Input((32, 32, 3))
    x = normed(k.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image))
    x = normed(k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
    x = normed(k.layers.Conv2D(8, 1, use_bias=False)(x), bounded=False)
    wide = normed(k.layers.Conv2D(16, 1, use_bias=False)(x))
    wide = k.ops.pad(wide, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=pad_value)
    wide = normed(k.layers.DepthwiseConv2D(3, strides=2, use_bias=False)(wide))
    x = normed(k.layers.Conv2D(8, 1, use_bias=False)(wide), bounded=False)
    wide = normed(k.layers.Conv2D(16, 1, use_bias=False)(x))
    wide = normed(k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(wide))
    x = k.layers.Add()([x, normed(k.layers.Conv2D(8, 1, use_bias=False)(wide), bounded=False)])
    x = normed(k.layers.Conv2D(32, 1, use_bias=False)(x))
    x = k.layers.GlobalAveragePooling2D()(x)
    return shaken(k.Model(image, k.layers.Dense(4, activation="softmax")(x)))


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


def exported(source: SourceModel, scale: Scale, path: Path) -> tuple[float, Counter[str]]:
    """Export, and return the largest difference of a probability on noise and the kinds of nodes."""
    labels = tuple(f"class {n}" for n in range(source.classes))
    export(ExportRequest(source=source.path, output=path, labels=labels, scale=scale), None, source)
    images = np.random.default_rng(1).integers(0, 256, (20, *source.spec.shape), np.uint8)
    answers = Classifier.load(path).probabilities(images)
    difference = np.abs(answers - source.predict(scale.apply(images))).max()
    return float(difference), Counter(summarise(path.read_bytes()).kinds)


def run_by_onnxruntime(file: bytes, folder: Path) -> list[str]:
    """Return the kinds of nodes that onnxruntime makes of a file, in order."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "run.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "run.onnx").graph.node]
