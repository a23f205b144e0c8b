"""What a graph consists of: its layers with their parameters, multiply-adds and bytes."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edge_fm_exporters.graph import flip_ensemble

_PAIRS = {"QuantizeLinear", "DequantizeLinear"}


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
    """

    name: str
    operator: str
    arithmetic: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    size_bytes: int


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


def summarise(data: bytes) -> Summary:
    """Return the summary of a checked model file.

    Args:
        data: an ONNX file that `edge_fm_runtime.artifact.onnx_file` has not refused.
    """
    import onnx
    from onnx import shape_inference

    stored = onnx.load_from_string(data)
    graph = shape_inference.infer_shapes(stored).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    shapes = {
        value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    mirrored = flip_ensemble.is_flip_ensemble(data)
    views = 2 if mirrored else 1
    layers = [
        _layer(node, constants, makers, shapes, views) for node in graph.node if node.op_type not in _PAIRS
    ]
    kinds = Counter(node.op_type for node in stored.graph.node)
    return Summary(tuple(layers), len(stored.graph.node), dict(kinds), mirrored)


def _layer(
    node: Any,  # noqa: ANN401  # onnx ships no types
    constants: dict[str, Any],
    makers: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    views: int,
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
        sum(math.prod(tensor.dims) for tensor in counted),
        multiply_adds,
        sum(math.prod(tensor.dims) * (1 if tensor.data_type in {2, 3} else 4) for tensor in counted),
    )


def _constant(name: str, constants: dict[str, Any], makers: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the constant that an input is, itself or dequantised; None if it is computed."""
    if name in constants:
        return constants[name]
    maker = makers.get(name)
    return (
        constants.get(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else None
    )
