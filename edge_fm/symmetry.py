"""Layers of networks that are their own mirror image: a picture and its mirror image are answered alike, by construction.

Such a network has two sides, and what one makes of a picture the other makes of its mirror image, turned back: channels come in two halves,
and each kernel of the second half is one of the first, turned over, that takes the sides the other way round. Only the first is kept and trained. Mirroring the
picture exchanges the sides, and the mean over both does not move. Every number is used twice, and no network need find out from pictures and
their mirror images that they show the same. Cohen and Welling, "Group Equivariant Convolutional Networks", 2016, arXiv:1602.07576, for the group of one reflection.

On the way out (`unfold`) the second half is written out, and its channels in the reverse order: then every kernel is itself read backwards, and a
network of Keras's own layers computes the same. An export holds such a kernel once again (`edge_fm_exporters/palindrome.py`).
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras

KerasModel = Any
"""A `keras.Model`; Keras ships no types."""

_WIDTH, _INPUTS, _OUTPUTS = 1, 2, 3
"""Axes of a kernel, which has height first."""

_DENSE = 2
"""Arrays of weights that a dense layer has: a kernel and biases. A normalisation has four."""


@lru_cache(maxsize=1)
def _layers() -> tuple[Any, Any]:
    """Return the two layer classes, a convolution and a weight for each place; Keras is loaded when they are first wanted."""
    keras = import_keras()
    ops = keras.ops

    class SidedConv2D(keras.layers.Layer):  # type: ignore[misc,name-defined]
        """A convolution of a picture, or of both sides of one, (N, height, width, inputs) -> (N, height', width', 2 * channels)."""

        def __init__(self, channels: int, kernel: int, strides: int, *, of_sides: bool) -> None:
            super().__init__()
            self.channels, self.size, self.strides, self.of_sides = channels, kernel, strides, of_sides

        def build(self, shape: Any) -> None:  # noqa: ANN401
            self.kernel = self.add_weight(
                shape=(self.size, self.size, shape[-1], self.channels), initializer="glorot_uniform"
            )

        def call(self, x: Any) -> Any:  # noqa: ANN401  # Keras ships no types
            kernel = _for_both(self.kernel, ops, of_sides=self.of_sides)
            return ops.conv(x, kernel, strides=self.strides, padding="same")

    class SidedPlaces(keras.layers.Layer):  # type: ignore[misc,name-defined]
        """A weight for each place and channel, (N, height, width, 2 * channels) -> (N, 1, 1, 2 * channels)."""

        def build(self, shape: Any) -> None:  # noqa: ANN401
            _, height, width, channels = shape
            self.kernel = self.add_weight(
                shape=(height, width, channels // 2, 1), initializer=near_the_average(height * width)
            )

        def call(self, x: Any) -> Any:  # noqa: ANN401
            both = ops.concatenate([self.kernel, ops.flip(self.kernel, axis=_WIDTH)], axis=_INPUTS)
            return ops.depthwise_conv(x, both, padding="valid")

    return SidedConv2D, SidedPlaces


def near_the_average(places: int) -> Any:  # noqa: ANN401
    """Return what draws weights for so many places to begin with: about what an average over them has."""
    return import_keras().initializers.RandomNormal(1 / places, 0.5 / places)


def _for_both(kernel: Any, ops: Any, *, of_sides: bool) -> Any:  # noqa: ANN401
    """Return the kernel of both sides, (height, width, inputs, 2 * channels), of that of the first."""
    turned = ops.flip(kernel, axis=_WIDTH)
    if of_sides:
        own, other = ops.split(turned, 2, axis=_INPUTS)
        turned = ops.concatenate([other, own], axis=_INPUTS)
    return ops.concatenate([kernel, turned], axis=_OUTPUTS)


def convolution(x: Any, channels: int, kernel: int, strides: int, *, of_sides: bool) -> Any:  # noqa: ANN401
    """Return a convolution to so many channels a side, and the normalisation behind it, which takes both sides for one."""
    layers = import_keras().layers
    x = _layers()[0](channels, kernel, strides, of_sides=of_sides)(x)
    height, width = x.shape[1:3]
    beside = layers.Reshape((height, 2 * width, channels))(x)
    return layers.Reshape((height, width, 2 * channels))(layers.BatchNormalization()(beside))


def places(x: Any) -> Any:  # noqa: ANN401
    """Return the sum over the places of each side, (N, channels): the mean of both."""
    layers = import_keras().layers
    x = _layers()[1]()(x)
    beside = layers.BatchNormalization()(layers.Reshape((1, 2, x.shape[-1] // 2))(x))
    return layers.GlobalAveragePooling2D()(beside)


def pooled(x: Any) -> Any:  # noqa: ANN401
    """Return the largest of two by two pixels; of an odd number of columns or rows, of three around every second one, as the mirror image would."""
    odd = [size % 2 for size in x.shape[1:3]]
    return import_keras().layers.MaxPooling2D([2 + one for one in odd], strides=2, padding="same")(x)


def unfold(model: KerasModel, written_out: KerasModel) -> None:
    """Give a network of Keras's own layers, twice as wide, the weights of one with two sides: it answers the same.

    Args:
        model: of this module's layers.
        written_out: of as many convolutions, normalisations and dense layers, in the same order.
    """
    for ours, theirs in zip(_weighted(model), _weighted(written_out), strict=True):
        theirs.set_weights(_written_out(ours))


def fold(written_out: KerasModel, model: KerasModel) -> None:
    """Give a network with two sides the weights that `unfold` has written out, those of the first side.

    Raises:
        ValueError: the other is not as large, or not its own mirror image.
    """
    kept = [layer.get_weights() for layer in _weighted(written_out)]
    for ours, weights in zip(_weighted(model), kept, strict=True):
        ours.set_weights(_first_side(ours, weights))
    for ours, weights in zip(_weighted(model), kept, strict=True):
        for written, given in zip(_written_out(ours), weights, strict=True):
            if not np.allclose(written, given, rtol=1e-3, atol=1e-5):
                raise ValueError(f"{written_out.name} is not its own mirror image")


def _weighted(model: KerasModel) -> list[Any]:
    return [layer for layer in model.layers if layer.weights]


def _backwards(channels: int) -> NDArray[np.intp]:
    """Return, for channels in two halves, their order with the second half reversed; applied twice it changes nothing."""
    half = channels // 2
    return np.concatenate([np.arange(half), np.arange(channels - 1, half - 1, -1)])


def _written_out(layer: Any) -> list[NDArray[np.float32]]:  # noqa: ANN401
    convolution, places = _layers()
    first = [np.asarray(weight) for weight in layer.get_weights()]
    if isinstance(layer, convolution):
        both = _for_both(first[0], np, of_sides=layer.of_sides)
        if layer.of_sides:
            both = both[:, :, _backwards(both.shape[_INPUTS])]
        return [both[..., _backwards(both.shape[_OUTPUTS])]]
    if isinstance(layer, places):
        return [np.concatenate([first[0], first[0][:, ::-1, ::-1]], axis=_INPUTS)]
    if len(first) == _DENSE:  # takes the mean of both sides
        return [np.concatenate([first[0], first[0][::-1]]) / np.float32(2), first[1]]
    return [np.concatenate([vector, vector[::-1]]) for vector in first]


def _first_side(layer: Any, both: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:  # noqa: ANN401
    convolution, places = _layers()
    if isinstance(layer, convolution):
        kernel = both[0][..., : layer.channels]
        return [kernel[:, :, _backwards(kernel.shape[_INPUTS])] if layer.of_sides else kernel]
    if isinstance(layer, places):
        return [both[0][:, :, : both[0].shape[_INPUTS] // 2]]
    if len(both) == _DENSE:
        return [both[0][: len(both[0]) // 2] * np.float32(2), both[1]]
    return [vector[: len(vector) // 2] for vector in both]
