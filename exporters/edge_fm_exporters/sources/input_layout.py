"""Layout of a network's input, and how images (N, H, W, C) are brought to it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT
from edge_fm_runtime.errors import ExportError, ModelError

Shape = tuple[int | None, ...]
"""Shape of a tensor; None is an axis of any length."""

_CHANNELS = (1, 3)
_MAX_SIDE = 1024
_SMALLEST_VECTOR = 16
"""Pixels of a 4x4 image; a shorter vector holds features, not pixels."""


class AxisOrder(StrEnum):
    """Order of the axes of a network's input."""

    CHANNELS_LAST = "channels last"  # (N, H, W, C)
    CHANNELS_FIRST = "channels first"  # (N, C, H, W)
    PLANE = "plane"  # (N, H, W)
    VECTOR = "vector"  # (N, H * W * C), channels last


@dataclass(frozen=True)
class InputLayout:
    """A network's input in terms of images.

    Attributes:
        spec: size and channels of the images.
        order: order of the network's axes.
    """

    spec: InputSpec
    order: AxisOrder

    @property
    def note(self) -> str:
        """Note on how a vector is read, which its length does not prove; empty for other orders."""
        if self.order is not AxisOrder.VECTOR:
            return ""
        height, width, channels = self.spec.shape
        return f"takes {height * width * channels:,} numbers, read as {height}x{width} {'RGB' if channels > 1 else 'grey'} images"

    @property
    def shape(self) -> Shape:
        """Shape of the network's input, with a free batch axis."""
        height, width, channels = self.spec.shape
        return {
            AxisOrder.CHANNELS_LAST: (None, height, width, channels),
            AxisOrder.CHANNELS_FIRST: (None, channels, height, width),
            AxisOrder.PLANE: (None, height, width),
            AxisOrder.VECTOR: (None, height * width * channels),
        }[self.order]

    def arrange(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return images (N, H, W, C) in the network's shape."""
        if self.order is AxisOrder.CHANNELS_FIRST:
            images = images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images).reshape(-1, *(length or -1 for length in self.shape[1:]))

    def prepend(self, model: Any) -> Any:  # noqa: ANN401  # onnx ships no types
        """Return an ONNX model with the float32 input `image` (N, H, W, C) in front of its own."""
        if self.order is AxisOrder.CHANNELS_LAST and model.graph.input[0].name == INPUT:
            return model
        from onnx import TensorProto, helper, numpy_helper

        own = model.graph.input[0].name
        batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or "N"
        inner = own if own != INPUT else f"{INPUT}_arranged"
        for node in model.graph.node:
            node.input[:] = [inner if name == own else name for name in node.input]
        nodes, source = [], INPUT
        if self.order is AxisOrder.CHANNELS_FIRST:
            nodes.append(helper.make_node("Transpose", [INPUT], [inner], perm=[0, 3, 1, 2]))
        elif self.order is AxisOrder.CHANNELS_LAST:
            nodes.append(helper.make_node("Identity", [INPUT], [inner]))
        else:
            target = np.array([-1, *(length or -1 for length in self.shape[1:])], np.int64)
            model.graph.initializer.append(numpy_helper.from_array(target, "edge_fm_arranged_shape"))
            nodes.append(helper.make_node("Reshape", [source, "edge_fm_arranged_shape"], [inner]))
        for position, node in enumerate(nodes):
            model.graph.node.insert(position, node)
        del model.graph.input[:]
        model.graph.input.append(
            helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, *self.spec.shape])
        )
        return model


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return the height and width of `--size`, such as 24x32; None of None.

    Raises:
        ExportError: it is no size.
    """
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
        raise ExportError(f"--size is {text!r}, expected HEIGHTxWIDTH in pixels, such as 24x32")
    size = (int(height[:5]), int(width[:5]))
    if not all(0 < length <= _MAX_SIDE for length in size):
        raise ExportError(f"--size is {text!r}, expected 1 to {_MAX_SIDE} pixels a side")
    return size


def input_layout(path: Path, shape: Shape, size: tuple[int, int] | None = None) -> InputLayout:
    """Return the layout of a network's input.

    Args:
        path: the model, for messages.
        shape: of the input, with the batch axis; None for any length.
        size: height and width of the images where the shape leaves them open; must agree with it otherwise.

    Raises:
        ModelError: the input is no image, its size is open and none is given, or another size is given.
    """
    layout = _vector(path, shape, size) if len(shape) == 2 else _image(path, shape, size)  # noqa: PLR2004
    height, width, _ = layout.spec.shape
    if size is not None and size != (height, width):
        raise ModelError(
            f"{path} takes {_text(shape)}, which is images of {height}x{width}, and --size is {size[0]}x{size[1]}: leave --size out"
        )
    return layout


def _image(path: Path, shape: Shape, size: tuple[int, int] | None) -> InputLayout:
    match shape[1:]:
        case (height, width):
            order, channels = AxisOrder.PLANE, 1
        case (height, width, (1 | 3) as channels):
            order = AxisOrder.CHANNELS_LAST
        case ((1 | 3) as channels, height, width):
            order = AxisOrder.CHANNELS_FIRST
        case _:
            raise ModelError(
                f"{path} takes {_text(shape)}, expected images: (N, height, width), (N, height * width), or 1 or 3 "
                "channels as the last or the first axis"
            )
    if height is None or width is None:
        if size is None:
            raise ModelError(
                f"{path} takes images of any size, {_text(shape)}: give the height and width that it was trained on, "
                "such as --size 224x224"
            )
        height, width = height or size[0], width or size[1]
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise ModelError(f"{path} takes {_text(shape)}, expected at most {_MAX_SIDE} pixels a side")
    return InputLayout(InputSpec(height, width, channels), order)


def _vector(path: Path, shape: Shape, size: tuple[int, int] | None) -> InputLayout:
    length = shape[1]
    if length is None:
        raise ModelError(f"{path} takes {_text(shape)}, a sequence of any length, expected images")
    for channels in _CHANNELS:
        if size is not None and size[0] * size[1] * channels == length:
            return InputLayout(InputSpec(*size, channels), AxisOrder.VECTOR)
    if size is not None:
        raise ModelError(
            f"{path} takes {length:,} numbers, and --size {size[0]}x{size[1]} has {size[0] * size[1]:,} pixels: give a "
            f"height and width whose product is {length:,}"
        )
    if length < _SMALLEST_VECTOR:
        raise ModelError(
            f"{path} takes {length} numbers, expected images: a table of features is not supported"
        )
    for channels in _CHANNELS:
        side = math.isqrt(length // channels)
        if side * side * channels == length:
            return InputLayout(InputSpec(side, side, channels), AxisOrder.VECTOR)
    raise ModelError(
        f"{path} takes {length:,} numbers, which is no square image: if they are the pixels of one, give its height and "
        "width, such as --size 24x32"
    )


def _text(shape: Shape) -> str:
    return f"({', '.join(str(length) for length in shape)})"
