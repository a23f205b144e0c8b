"""Build an ONNX graph of channels-last tensors whose convolutions run channels first."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.session import INPUT

IMAGE_RANK = 4
TO_FIRST = (0, 3, 1, 2)
_TO_LAST = (0, 2, 3, 1)
_MIN_IR = 8
_MAX_BYTES = 2**30


class UnsupportedError(ValueError):
    """An operator that is used in a way that no classifier of images needs."""


class Layout(StrEnum):
    """Order of the axes of a tensor of rank 4 in the ONNX graph."""

    LAST = "last"  # as TensorFlow Lite has it
    FIRST = "first"  # channels second, as ONNX convolves


@dataclass
class Value:
    """A tensor: a constant, or the name that it has in the ONNX graph in one or both layouts.

    Attributes:
        shape: as TensorFlow Lite has it, with its batch axis.
        constant: its numbers; None if it is computed.
        names: by layout.
    """

    shape: tuple[int, ...]
    constant: NDArray[np.generic] | None
    names: dict[Layout, str]

    @property
    def layout(self) -> Layout:
        """Layout that costs no transposition."""
        return next(iter(self.names), Layout.LAST)


class GraphBuilder:
    """An ONNX graph that grows by nodes; tensors change their layout only where they must."""

    def __init__(self, opset: int, shape: tuple[int, ...]) -> None:
        """Begin a graph.

        Args:
            opset: of its operators.
            shape: of its input, with the batch axis of the file.
        """
        self.opset = opset
        self.batch = shape[0]
        self.start = Value(shape, None, {Layout.LAST: INPUT})
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._bytes = 0

    def name(self, value: Value, layout: Layout = Layout.LAST) -> str:
        """Return the name of a tensor in a layout, transposed once if it has another."""
        if value.constant is not None:
            if layout not in value.names:
                turn = layout is Layout.FIRST and len(value.shape) == IMAGE_RANK
                numbers = value.constant.transpose(TO_FIRST) if turn else value.constant
                value.names[layout] = self.constant(numbers)
            return value.names[layout]
        if len(value.shape) != IMAGE_RANK:
            return next(iter(value.names.values()))
        if layout not in value.names:
            perm = TO_FIRST if layout is Layout.FIRST else _TO_LAST
            value.names[layout] = self.node("Transpose", [value.names[value.layout]], perm=perm)
        return value.names[layout]

    def node(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        """Append a node and return the name of its output."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, numbers: NDArray[Any] | float) -> str:
        """Add a constant, float32 unless it is of int64, and return its name.

        Raises:
            UnsupportedError: all together are larger than an ONNX file may be.
        """
        from onnx import numpy_helper

        array = np.asarray(numbers)
        array = np.ascontiguousarray(array if array.dtype == np.int64 else array.astype(np.float32))
        self._bytes += array.nbytes
        if self._bytes > _MAX_BYTES:
            raise UnsupportedError(f"the weights become over {_MAX_BYTES:,} bytes in float32")
        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def computed(self, name: str, shape: tuple[int, ...], layout: Layout = Layout.LAST) -> Value:
        """Return a node's output as a tensor."""
        return Value(shape, None, {layout: name})

    def finish(self, output: Value) -> Any:  # noqa: ANN401  # onnx ships no types
        """Return the model, its batch axis free."""
        from onnx import TensorProto, helper

        last = self.name(output)
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *value.shape[1:]])
            for name, value in ((INPUT, self.start), (last, output))
        ]
        graph = helper.make_graph(self._nodes, "tflite", ends[:1], ends[1:], self._initializers)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=_MIN_IR
        )
