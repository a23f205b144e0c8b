"""Summarise a graph: its layers with their parameters, multiply-adds and bytes."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edge_fm_exporters.graph import flip_ensemble
from edge_fm_runtime.errors import ModelError

_PAIRS = {"QuantizeLinear", "DequantizeLinear"}
_WEIGHTED = {"Conv", "Gemm", "MatMul"}
_INT8 = {2, 3}
"""UINT8 and INT8 of onnx.proto."""


@dataclass(frozen=True)
class Layer:
    """A node that computes; a QuantizeLinear or DequantizeLinear belongs to the node that reads it.

    Attributes:
        name: name of the node.
        operator: ONNX operator.
        arithmetic: `int8` where its weights are stored as int8, `float32` where not, empty without weights.
        output_shape: (channels, height, width) or (features,) for one image; empty where it is not known.
        parameters: number of weights and biases.
        multiply_adds: multiply-adds per image, both views of it with flip test-time augmentation; 0 without
            weights.
        size_bytes: bytes of its weights and biases in the file.
    """

    name: str
    operator: str
    arithmetic: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    size_bytes: int


@dataclass(frozen=True)
class GraphSummary:
    """Summary of a graph.

    Attributes:
        layers: layers in order.
        nodes: number of nodes.
        kinds: number of nodes of each operator.
        flip_ensemble: whether the file answers with flip test-time augmentation.
    """

    layers: tuple[Layer, ...]
    nodes: int
    kinds: dict[str, int]
    flip_ensemble: bool


def summarise(data: bytes) -> GraphSummary:
    """Return the summary of a checked model file.

    Args:
        data: ONNX file that `edge_fm_runtime.artifact.onnx_file` has not refused.

    Raises:
        ModelError: onnx cannot read the graph.
    """
    import onnx
    from onnx import shape_inference

    try:
        stored = onnx.load_from_string(data)
        inferred = shape_inference.infer_shapes(stored).graph
    except Exception as error:  # of protobuf and of onnx, which share no class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"the graph of the model cannot be read ({reason:.200}): the file is damaged, export it again"
        ) from error
    if any(not node.output for node in stored.graph.node):
        raise ModelError("the model has a node without outputs: the file is damaged, export it again")
    views = 2 if flip_ensemble.is_flip_ensemble(data) else 1
    graph = _ShapedGraph(inferred)
    layers = [graph.layer(node, views) for node in graph.nodes if node.op_type not in _PAIRS]
    kinds = Counter(node.op_type for node in stored.graph.node)
    return GraphSummary(tuple(layers), len(stored.graph.node), dict(kinds), views > 1)


class _ShapedGraph:
    """A graph with its constants and the shapes that onnx could infer, by name."""

    def __init__(self, graph: Any) -> None:  # noqa: ANN401  # onnx ships no types
        self.nodes = graph.node
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {node.output[0]: node for node in graph.node}
        self._shapes = {
            value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }

    def layer(self, node: Any, views: int) -> Layer:  # noqa: ANN401
        """Return the layer of a node; `views` is the number of times that it runs per image."""
        # A length of 0 is not known: the batch.
        output = tuple(size for size in self._shapes.get(node.output[0], ())[1:] if size)
        tensors = [tensor for name in node.input if (tensor := self._constant(name)) is not None]
        if not tensors or node.op_type not in _WEIGHTED:
            return Layer(node.name, node.op_type, "", output, 0, 0, 0)
        weights, places = tensors[0], math.prod(output[1:]) if node.op_type == "Conv" else 1
        return Layer(
            name=node.name,
            operator=node.op_type,
            arithmetic="int8" if weights.data_type in _INT8 else "float32",
            output_shape=output,
            parameters=sum(math.prod(tensor.dims) for tensor in tensors),
            multiply_adds=math.prod(weights.dims) * places * views,
            size_bytes=sum(math.prod(t.dims) * (1 if t.data_type in _INT8 else 4) for t in tensors),
        )

    def _constant(self, name: str) -> Any:  # noqa: ANN401
        """Return the constant behind an input, itself or dequantised; None if it is computed."""
        if name in self._constants:
            return self._constants[name]
        maker = self._makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        return self._constants.get(maker.input[0])
