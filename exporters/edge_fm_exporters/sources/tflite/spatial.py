"""Convert convolutions, pooling and padding of a `.tflite` graph to ONNX, channels first."""

import numpy as np

from edge_fm_exporters.sources.tflite.graph import IMAGE_RANK, TO_FIRST, Layout, UnsupportedError, Value
from edge_fm_exporters.sources.tflite.model import Kind
from edge_fm_exporters.sources.tflite.operators import Convert, Step, bias, fused

_MAX_WINDOW = 4096

Pair = tuple[int, int]


def convolution(step: Step) -> Value:
    """Convert a convolution, of all channels together or of each alone."""
    depthwise = step.operator.kind is Kind.DEPTHWISE_CONV_2D
    image, weights = _image(step), np.asarray(step.constant(1), np.float32)
    if weights.ndim != IMAGE_RANK:
        raise UnsupportedError(f"its weights have the shape {weights.shape}, expected four axes")
    channels = image.shape[3]
    # TensorFlow Lite has (outputs, height, width, inputs), and (1, height, width, outputs) for depthwise.
    turned = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
    outputs, per_group = turned.shape[:2]
    if not per_group or channels % per_group or outputs % (channels // per_group):
        raise UnsupportedError(f"it has weights of {weights.shape} for {channels} channels")
    dilation_field = 5 if depthwise else 4
    dilations = (
        step.operator.option(dilation_field + 1, default=1),
        step.operator.option(dilation_field, default=1),
    )
    kernel = (turned.shape[2], turned.shape[3])
    strides = _strides(step)
    pads, size = _windows(step, image.shape, kernel, strides, dilations)
    operands = [step.graph.name(image, Layout.FIRST), step.graph.constant(turned)]
    if step.has(2):
        operands.append(step.graph.constant(bias(step, outputs)))
    name = step.graph.node(
        "Conv",
        operands,
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=channels // per_group,
    )
    shape = (image.shape[0], *size, outputs)
    return fused(step, step.graph.computed(name, shape, Layout.FIRST), 4 if depthwise else 3)


def pooling(step: Step) -> Value:
    """Convert average and maximum pooling; padding does not count."""
    image = _image(step)
    kernel = (step.operator.option(4), step.operator.option(3))
    strides = _strides(step)
    pads, size = _windows(step, image.shape, kernel, strides, (1, 1))
    average = step.operator.kind is Kind.AVERAGE_POOL_2D
    name = step.graph.node(
        "AveragePool" if average else "MaxPool",
        [step.graph.name(image, Layout.FIRST)],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
    )
    shape = (image.shape[0], *size, image.shape[3])
    return fused(step, step.graph.computed(name, shape, Layout.FIRST), 5)


def pad(step: Step) -> Value:
    """Convert padding with a constant."""
    value, widths = step.value(0), np.asarray(step.constant(1), np.int64)
    rank = len(value.shape)
    if widths.shape != (rank, 2) or (widths < 0).any() or (widths > _MAX_WINDOW).any() or widths[0].any():
        raise UnsupportedError(f"it pads by {widths.tolist()}")
    fill = float(np.ravel(step.constant(2))[0]) if step.has(2) else 0.0
    shape = tuple(length + int(sum(width)) for length, width in zip(value.shape, widths, strict=True))
    if rank == IMAGE_RANK and value.layout is Layout.FIRST:
        widths = widths[list(TO_FIRST)]
    operands = [step.graph.name(value, value.layout), step.graph.constant(widths.T.reshape(-1))]
    node = step.graph.node("Pad", [*operands, step.graph.constant(fill)], mode="constant")
    return step.graph.computed(node, shape, value.layout)


def _image(step: Step) -> Value:
    value = step.value(0)
    if len(value.shape) != IMAGE_RANK:
        raise UnsupportedError(f"it takes {value.shape}, expected images")
    return value


def _strides(step: Step) -> Pair:
    return step.operator.option(2), step.operator.option(1)


def _windows(
    step: Step, shape: tuple[int, ...], kernel: Pair, strides: Pair, dilations: Pair
) -> tuple[list[int], Pair]:
    """Return the padding (top, left, bottom, right) and the size of the output."""
    if not all(0 < length <= _MAX_WINDOW for length in (*kernel, *strides, *dilations)):
        raise UnsupportedError(f"it has windows of {kernel}, strides {strides} and dilations {dilations}")
    before, after, size = [], [], []
    is_valid = step.operator.option(0, "b") == 1
    for length, window, stride, dilation in zip(shape[1:3], kernel, strides, dilations, strict=True):
        reach = (window - 1) * dilation + 1
        outputs = (length - reach) // stride + 1 if is_valid else -(-length // stride)
        total = 0 if is_valid else max((outputs - 1) * stride + reach - length, 0)
        before.append(total // 2)
        after.append(total - total // 2)
        size.append(outputs)
    if min(size) < 1:
        raise UnsupportedError(f"its window of {kernel} is larger than {shape[1:3]}")
    return [*before, *after], (size[0], size[1])


SPATIAL: dict[Kind, Convert] = {
    **dict.fromkeys((Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D), convolution),
    **dict.fromkeys((Kind.AVERAGE_POOL_2D, Kind.MAX_POOL_2D), pooling),
    **dict.fromkeys((Kind.PAD, Kind.PADV2), pad),
}
