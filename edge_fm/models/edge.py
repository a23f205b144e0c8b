"""The `edge` family: small residual networks shaped for int8 kernels on small processors.

The first layer is a narrow 3x3 convolution over the full image, because with one input channel it costs the
most int8 time for its benefit. Residual blocks at full size follow, then max pooling to 14x14, and residual
blocks at 14x14 and 7x7. For 56x56 images the first convolution is 6x6 with stride 2, so that all later layers
keep their size: finer edges for the cost of that one layer. Batch normalisation follows every convolution,
and the export folds it into the weights.

The head is a depthwise convolution over the whole feature map instead of an average, because the position of
a sleeve or a stroke helps to classify it.

He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385; Chen et al.,
"MobileFaceNets", 2018, arXiv:1804.07573, for the global depthwise convolution.
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
    """Channels and numbers of residual blocks of a network.

    Attributes:
        stem: channels of the first convolution and of the blocks at full size.
        middle: channels of the blocks at half size.
        top: channels of the blocks at quarter size.
        full_blocks: number of blocks at full size.
        middle_blocks: number of blocks at half size.
        top_blocks: number of blocks at quarter size.
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
    """Return the stride of the first convolution, which reduces the shorter side to 28 to 55 pixels."""
    return max(1, min(spec.height, spec.width) // _USUAL_SIZE)


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Build networks inside this context that compute in bfloat16 and keep their weights in float32.

    Micikevicius et al., "Mixed Precision Training", 2017, arXiv:1710.03740; bfloat16 has float32's range, so
    the loss needs no scaling: Kalamkar et al., 2019, arXiv:1905.12322.
    """
    config = import_keras().config
    previous = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        config.set_dtype_policy(previous)


def build(width: Width, spec: InputSpec, classes: int, name: str) -> KerasModel:
    """Return an uncompiled network from pixels in [0, 1] to probabilities.

    Args:
        width: channels and numbers of blocks.
        spec: input size; the first convolution has stride 1 below 56x56.
        classes: number of classes.
        name: name of the Keras model.
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
    positions = size[0] * size[1]
    near_average = import_keras().initializers.RandomNormal(1 / positions, 0.5 / positions)
    x = layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=near_average)(x)
    return layers.Flatten()(layers.BatchNormalization()(x))
