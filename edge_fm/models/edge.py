"""The `edge` family: small residual networks shaped for int8 kernels on small processors.

One 3x3 convolution over the full picture, narrow, because with one input channel it is the dearest node of an int8 network for what it
does; residual blocks behind it where work for each weight counts for more than time; a pooling down to 14x14; residual blocks there and at 7x7.
Of a picture of 56x56 the first convolution takes 6x6 pixels at every second place, so that all behind it is as large as before: finer edges for
the price of that one layer. Every convolution is followed by batch normalisation, which the export folds away.

They end in a convolution as large as the picture has become, one for each channel, in the place of an average: where a
sleeve or a stroke is says what it is of.

He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385; Chen et al., "MobileFaceNets", 2018,
arXiv:1804.07573, for the global depthwise convolution.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import InputSpec

KerasModel = Any

_USUAL_SIZE = 28


@dataclass(frozen=True)
class Width:
    """How wide a member of the family is.

    Attributes:
        stem: channels of the first convolution, at full size.
        middle: channels of the residual blocks at half size.
        top: channels of the residual blocks at a quarter of the size.
        full_blocks: how many residual blocks of the first convolution's channels at full size.
        middle_blocks: how many at half size.
        top_blocks: how many at a quarter.
    """

    stem: int
    middle: int
    top: int
    full_blocks: int = 0
    middle_blocks: int = 1
    top_blocks: int = 1


WIDTHS = {
    "edge-nano": Width(12, 20, 32, full_blocks=2),
    "edge": Width(16, 32, 56, full_blocks=3, middle_blocks=2),
    "edge-plus": Width(32, 64, 76, full_blocks=3, middle_blocks=2),
    "edge-large": Width(64, 128, 192, full_blocks=1, middle_blocks=3, top_blocks=2),
    "digits": Width(16, 28, 48),
    "digits-plus": Width(24, 48, 80),
}


def stride(spec: InputSpec) -> int:
    """Return how many pixels the first convolution goes on by: it brings an input to 28 to 55 pixels on its shorter side."""
    return max(1, min(spec.height, spec.width) // _USUAL_SIZE)


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Build networks in here that compute in bfloat16 what need not be exact, and keep their weights in float32.

    Micikevicius et al., "Mixed Precision Training", 2017, arXiv:1710.03740; bfloat16 has float32's range, so the loss needs no scaling:
    Kalamkar et al., 2019, arXiv:1905.12322.
    """
    config = import_keras().config
    usual = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        config.set_dtype_policy(usual)


def build(width: Width, spec: InputSpec, classes: int, name: str) -> KerasModel:
    """Return an uncompiled network, pixels in [0, 1] in, probabilities out.

    Args:
        width: of its parts.
        spec: of its input; one smaller than 56x56 is taken as it is.
        classes: how many it tells apart.
        name: of the Keras model.
    """
    layers = import_keras().layers

    def block(x: Any, channels: int, strides: int) -> Any:  # noqa: ANN401
        y = layers.ReLU()(_convolution(x, channels, 3, strides))
        y = _convolution(y, channels, 3, 1)
        if strides > 1 or x.shape[-1] != channels:
            x = _convolution(x, channels, 1, strides)
        return layers.ReLU()(layers.Add()([x, y]))

    image, step = import_keras().Input(spec.shape, name="image"), stride(spec)
    x = layers.ReLU()(_convolution(image, width.stem, 3 * step, step))
    for _ in range(width.full_blocks):
        x = block(x, width.stem, 1)
    x = layers.MaxPooling2D()(x)
    for _ in range(width.middle_blocks):
        x = block(x, width.middle, 1)
    for index in range(width.top_blocks):
        x = block(x, width.top, 2 if index == 0 else 1)
    x = _global_depthwise(x)
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return import_keras().Model(image, probabilities, name=name)


def _convolution(x: Any, channels: int, kernel: int, strides: int) -> Any:  # noqa: ANN401  # Keras ships no types
    layers = import_keras().layers
    x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def _global_depthwise(x: Any) -> Any:  # noqa: ANN401
    layers, size = import_keras().layers, x.shape[1:3]
    places = size[0] * size[1]
    near_average = import_keras().initializers.RandomNormal(1 / places, 0.5 / places)
    x = layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=near_average)(x)
    return layers.Flatten()(layers.BatchNormalization()(x))
