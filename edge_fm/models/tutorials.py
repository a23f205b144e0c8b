"""Keras networks of the tutorials, from pixels in [0, 1] to probabilities.

Each function takes the input shape (height, width, channels), the number of classes and the options, and
returns an uncompiled `keras.Model`.
"""

from dataclasses import dataclass
from typing import Any

from edge_fm.models.settings import Options
from edge_fm_exporters.framework import import_keras

Shape = tuple[int, int, int]
KerasModel = Any
"""A `keras.Model`; Keras ships no types."""


@dataclass(frozen=True)
class DenseLayers:
    """Hidden dense layers.

    Attributes:
        units: number of units of each layer.
        activation: name of the Keras activation of all layers.
    """

    units: tuple[int, ...] = ()
    activation: str = "relu"


def dense(name: str, hidden: DenseLayers, shape: Shape, classes: int, options: Options) -> KerasModel:
    """Return a multilayer perceptron, with dropout after each hidden layer if `options` has it."""
    layers = import_keras().layers
    stack: list[Any] = [layers.Flatten()]
    for units in hidden.units:
        stack.append(layers.Dense(units, activation=hidden.activation))
        stack += _dropout(options)
    return _sequential(name, shape, classes, stack)


def two_convolutions(name: str, units: int, shape: Shape, classes: int, options: Options) -> KerasModel:
    """Return two convolutions with pooling, a dense layer and dropout."""
    layers = import_keras().layers
    stack = [
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(units, activation="relu"),
        *_dropout(options),
    ]
    return _sequential(name, shape, classes, stack)


def strided(name: str, units: tuple[int, ...], shape: Shape, classes: int, options: Options) -> KerasModel:
    """Return two stride-2 convolutions, pooling, and dense layers, each followed by dropout."""
    layers = import_keras().layers
    stack = [
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
    ]
    for count in units:
        stack.append(layers.Dense(count, activation="relu"))
        stack += _dropout(options)
    return _sequential(name, shape, classes, stack)


def light(name: str, shape: Shape, classes: int, options: Options) -> KerasModel:
    """Return one small convolution, pooling, dropout and a dense layer."""
    layers = import_keras().layers
    stack = [
        layers.Conv2D(10, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        *_dropout(options),
        layers.Dense(100, activation="relu"),
    ]
    return _sequential(name, shape, classes, stack)


def _dropout(options: Options) -> list[Any]:
    rate = options.get("dropout", 0)
    return [import_keras().layers.Dropout(rate)] if rate else []


def _sequential(name: str, shape: Shape, classes: int, stack: list[Any]) -> KerasModel:
    keras = import_keras()
    output = keras.layers.Dense(classes, activation="softmax", name="probabilities")
    return keras.Sequential([keras.Input(shape, name="image"), *stack, output], name=name)
