"""What a graph consists of: its layers with their parameters, multiply-adds and bytes."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edge_fm_exporters import mirror, palindrome

_PAIRS = {"QuantizeLinear", "DequantizeLinear"}

_LEAST_OUTPUTS, _OUTPUTS_AT_ONCE, _INPUTS_AT_ONCE, _DEPTHWISE_AT_ONCE = 16, 8, 4, 16
"""Channels that the faster of onnxruntime's int8 convolutions take on x86 with AVX2: MlasConvSymPackWSize in its convsym.cpp."""

_NOTEWORTHY = 0.05
"""Share of a graph's multiply-adds."""


@dataclass(frozen=True)
class Layer:
    """A node that computes; what quantises and dequantises belongs to the node that reads it.

    Attributes:
        name: of the node.
        operator: its kind.
        arithmetic: `int8` where its weights are kept as int8, `float32` where they are not, empty without weights.
        output_shape: (channels, height, width) or (features,) of one picture; empty where it is not known.
        parameters: weights and biases.
        multiply_adds: for one picture, and its mirror image where the file answers both; 0 for what has no weights.
        size_bytes: of its weights and biases in the file.
        swift_channels: with how many channels, as many or more, an int8 convolution has faster kernels on x86; 0 where it has none, or fewer than eight channels.
    """

    name: str
    operator: str
    arithmetic: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    size_bytes: int
    swift_channels: int = 0


@dataclass(frozen=True)
class Summary:
    """A graph.

    Attributes:
        layers: in order.
        nodes: how many there are in all.
        kinds: how many there are of each operator.
        mirrored: whether each picture is answered together with its mirror image.
    """

    layers: tuple[Layer, ...]
    nodes: int
    kinds: dict[str, int]
    mirrored: bool

    @property
    def slowed(self) -> tuple[Layer, ...]:
        """The int8 convolutions with a part in the work that would take no longer with more channels (docs/export.md)."""
        work = sum(layer.multiply_adds for layer in self.layers)
        return tuple(
            layer
            for layer in self.layers
            if layer.output_shape
            and layer.swift_channels > layer.output_shape[0]
            and layer.multiply_adds >= _NOTEWORTHY * work
        )


def summarise(data: bytes) -> Summary:
    """Return the summary of a checked model file.

    Args:
        data: an ONNX file that `edge_fm_runtime.onnxfile` has not refused.
    """
    import onnx
    from onnx import shape_inference

    stored = onnx.load_from_string(data)
    model = shape_inference.infer_shapes(palindrome.written_out(stored))
    graph = model.graph
    once = {tensor.name for tensor in graph.initializer} - {
        tensor.name for tensor in stored.graph.initializer
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    shapes = {
        value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    mirrored = mirror.joined(data)
    views = 2 if mirrored else 1
    layers = [
        _layer(node, constants, makers, shapes, views, once)
        for node in graph.node
        if node.op_type not in _PAIRS
    ]
    kinds = Counter(node.op_type for node in stored.graph.node)
    return Summary(tuple(layers), len(stored.graph.node), dict(kinds), mirrored)


def _layer(
    node: Any,  # noqa: ANN401  # onnx ships no types
    constants: dict[str, Any],
    makers: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    views: int,
    once: set[str],
) -> Layer:
    held = [tensor for name in node.input if (tensor := _constant(name, constants, makers)) is not None]
    weights = held[0] if held and node.op_type in {"Conv", "Gemm", "MatMul"} else None
    output = tuple(size for size in shapes.get(node.output[0], ())[1:] if size)  # 0 is how many pictures
    multiply_adds = 0
    if weights is not None:
        places = math.prod(output[1:]) if node.op_type == "Conv" else 1
        multiply_adds = math.prod(weights.dims) * places * views
    counted = held if weights is not None else []
    integers = weights is not None and weights.data_type in {2, 3}  # UINT8, INT8 of onnx.proto
    return Layer(
        node.name,
        node.op_type,
        "" if weights is None else "int8" if integers else "float32",
        output,
        sum(_held(tensor, once) for tensor in counted),
        multiply_adds,
        sum(_held(tensor, once) * (1 if tensor.data_type in {2, 3} else 4) for tensor in counted),
        _swift_channels(node, weights) if weights is not None and integers else 0,
    )


def _swift_channels(node: Any, kernel: Any) -> int:  # noqa: ANN401
    """Return `Layer.swift_channels` of a layer with an int8 kernel, which of a convolution is (outputs, inputs of each group, height, width)."""
    if node.op_type != "Conv":
        return 0
    outputs, inputs = int(kernel.dims[0]), int(kernel.dims[1])
    if outputs < _OUTPUTS_AT_ONCE:
        return 0  # four took 61 us where 16 took 67
    groups: int = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    if groups == outputs > 1:
        return -(-outputs // _DEPTHWISE_AT_ONCE) * _DEPTHWISE_AT_ONCE
    if groups > 1 or inputs % _INPUTS_AT_ONCE:
        return 0
    return max(_LEAST_OUTPUTS, -(-outputs // _OUTPUTS_AT_ONCE) * _OUTPUTS_AT_ONCE)


def _held(tensor: Any, once: set[str]) -> int:  # noqa: ANN401
    """Return how many numbers of a constant the file has: half of those that are themselves read backwards."""
    numbers: int = math.prod(tensor.dims)
    return numbers // 2 if tensor.name in once else numbers


def _constant(name: str, constants: dict[str, Any], makers: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the constant that an input is, itself or dequantised; None if it is computed."""
    if name in constants:
        return constants[name]
    maker = makers.get(name)
    return (
        constants.get(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else None
    )
