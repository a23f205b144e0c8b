"""Architectures by name.

Each is plain Keras on pixels in [0, 1], the way the tutorials write it, so that what is exported here is
what a user's own file looks like.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

from edge_fm import edge
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.passport import InputSpec

KerasModel = Any
"""A `keras.Model`; Keras ships no types."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be trained by name.

    Attributes:
        name: what the user types.
        summary: its layers in a line.
        data: the data set that it was made for.
        parameters: weights and biases for that data set.
        reference: the figure to reach on it.
        build: from the input and the number of classes to an uncompiled model, pixels in [0, 1] in,
            probabilities out.
    """

    name: str
    summary: str
    data: str
    parameters: int
    reference: str
    build: Callable[[InputSpec, int], KerasModel]


def _cnn(spec: InputSpec, classes: int) -> KerasModel:
    keras = import_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(spec.shape, name="image"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name="cnn",
    )


def _edge(width: edge.Width, name: str, spec: InputSpec, classes: int) -> KerasModel:
    return edge.build(width, spec, classes, name)


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "cnn",
            "Conv 32, MaxPool, Conv 64, MaxPool, Dense 100, Dropout 0.4, softmax",
            "fashion-mnist",
            333_526,
            "accuracy 0.912 (test)",
            _cnn,
        ),
    )
}


ARCHITECTURES |= {
    name: Architecture(
        name,
        f"Conv {width.stem}, MaxPool, residual {width.middle}, residual {width.top}, average, softmax",
        "fashion-mnist and photographs",
        parameters,
        "docs/models.md",
        partial(_edge, width, name),
    )
    for (name, width), parameters in zip(edge.WIDTHS.items(), (26_062, 76_354, 205_034), strict=True)
}


def find(name: str) -> Architecture:
    """Return an architecture.

    Raises:
        DataError: there is none of that name; the message names the nearest.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = get_close_matches(name, ARCHITECTURES, n=3) or list(ARCHITECTURES)
    raise DataError(
        f"there is no model {name!r}: did you mean {', '.join(near)}? 'edge-fm zoo' lists them all"
    )
