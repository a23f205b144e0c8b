"""A quantised graph as a Keras network: what is trained is what runs, rounding included.

Every quantise-dequantise pair rounds on the way forth and lets the gradient through on the way back (Bengio et al., 2013,
arXiv:1308.3432), weights are rounded in each step, and the scales of the activations are learnt with them (Esser et
al., 2019, arXiv:1902.08153). The graph keeps its nodes: only the numbers in it change.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import ModelProto
from edge_fm_runtime.errors import ExportError
from edge_fm_runtime.session import INPUT, OUTPUT

_LEVELS = 64
"""Weights are whole numbers from -64 to 64 (docs/decisions/0003-int8-recipe.md)."""

_TOP = 255

Tensor = Any
"""A backend's tensor."""


class Graph:
    """A quantised graph, read for training: which numbers in it are weights, biases and scales.

    Raises:
        ExportError: quantising has made anew what should be learnt from the source's weights.
    """

    def __init__(self, model: ModelProto, source: ModelProto) -> None:
        from onnx import numpy_helper

        self.model = model
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        originals = {tensor.name: numpy_helper.to_array(tensor) for tensor in source.graph.initializer}
        self.weights: dict[str, tuple[int, str]] = {}  # name: (axis of its channels, name of its scales)
        self.biases: dict[str, str] = {}  # name: name of its scales
        self.scales: set[str] = set()
        self.start: dict[str, NDArray[np.float32]] = {}
        for node in self.nodes:
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                name, whole = node.input[0].removesuffix("_quantized"), self.constants[node.input[0]]
                if name not in originals:
                    raise ExportError(
                        f"--qat cannot follow {name}, which quantising has made anew: export without it"
                    )
                if whole.dtype == np.int32:
                    self.biases[name] = node.input[1]
                    self.start[name] = (whole * self.constants[node.input[1]]).astype(np.float32)
                else:
                    self.start[name] = originals[name].astype(np.float32)
                    self.weights[name] = (_integers(node).get("axis", [1])[0], node.input[1])
            elif node.op_type == "QuantizeLinear":
                self.scales.add(node.input[1])
                # As its logarithm: a step changes a scale by a share of it, and it stays above zero.
                self.start[node.input[1]] = np.log(self.constants[node.input[1]])
            elif node.op_type in {"Conv", "Gemm", "MatMul"}:
                for name in node.input[1:]:
                    if name in self.constants:
                        self.start[name] = self.constants[name]

    def written(self, learnt: dict[str, NDArray[np.float32]]) -> ModelProto:
        """Return the model with what was learnt, as whole numbers where it is quantised."""
        import onnx
        from onnx import numpy_helper

        new: dict[str, NDArray[Any]] = {}
        for name, values in learnt.items():
            if name in self.weights:
                axis, scale_name = self.weights[name]
                scale = _weight_scale(values, axis)
                new[scale_name] = scale.reshape(-1).astype(np.float32)
                new[f"{name}_quantized"] = np.rint(values / scale).clip(-_LEVELS, _LEVELS).astype(np.int8)
            elif name in self.scales:
                new[name] = np.exp(values).astype(np.float32)
            elif name not in self.biases:
                new[name] = values.astype(np.float32)
        current = self.constants | new
        producers = {node.output[0]: node for node in self.nodes}
        for node in self.nodes:
            name = next((name for name in node.input[2:] if name in self.biases), "")
            if node.op_type not in {"Conv", "Gemm"} or not name:
                continue
            seen, weights = (producers[tensor] for tensor in node.input[:2])
            scale = (current[seen.input[1]] * current[weights.input[1]]).astype(np.float32)
            new[self.biases[name]] = scale
            new[f"{name}_quantized"] = np.rint(learnt[name] / scale).astype(np.int32)
        written = onnx.ModelProto()
        written.CopyFrom(self.model)
        for tensor in written.graph.initializer:
            if tensor.name in new:
                shape = tuple(tensor.dims)
                tensor.CopyFrom(numpy_helper.from_array(new[tensor.name].reshape(shape), tensor.name))
        return written


def _weight_scale(values: Any, axis: int, ops: Any = np) -> Any:  # noqa: ANN401  # arrays of NumPy or of a backend
    """Return how much one step of each channel's weights is, shaped to divide them by."""
    others = tuple(other for other in range(len(values.shape)) if other != axis)
    return ops.maximum(ops.max(ops.abs(values), axis=others, keepdims=True), 1e-9) / _LEVELS


def _integers(node: Any) -> dict[str, list[int]]:  # noqa: ANN401  # onnx ships no types
    return {attribute.name: list(attribute.ints) or [attribute.i] for attribute in node.attribute}


def network(graph: Graph, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  # Keras ships no types
    """Return an uncompiled `keras.Model` that computes the graph, rounding as it does.

    Its input is (N, *shape) float32 pixels in [0, 255], its output (N, classes) float32 probabilities; `learnt` holds its variables by
    the names of `Graph.start`.

    Args:
        graph: what to compute.
        shape: (height, width, channels) of a picture.

    Raises:
        ExportError: at the first call, if the graph has an operator that cannot be trained here.
    """
    keras = import_keras()

    class Network(keras.Model):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.learnt = {
                name: self.add_weight(
                    shape=values.shape,
                    name=f"v{index}",
                    initializer=lambda *_args, values=values, **_options: keras.ops.convert_to_tensor(values),
                )
                for index, (name, values) in enumerate(graph.start.items())
            }

        def call(self, image: Tensor) -> Tensor:
            return _Run(graph, self.learnt, keras.ops).on(image)

    made = Network()
    made.build((None, *shape))
    return made


class _Run:
    """One pass through a graph. Pictures are NHWC throughout, whatever order the graph has them in."""

    def __init__(self, graph: Graph, learnt: dict[str, Any], ops: Any) -> None:  # noqa: ANN401
        self._graph, self._ops = graph, ops
        self._values: dict[str, Tensor] = dict(learnt)
        self._channels_last = {INPUT}
        """Names of pictures that the graph has as NHWC too."""
        for name in graph.scales:
            self._values[name] = ops.exp(learnt[name])
        for name, (axis, _) in graph.weights.items():
            scale = ops.stop_gradient(_weight_scale(learnt[name], axis, ops))
            self._values[name] = self._rounded(ops.clip(learnt[name] / scale, -_LEVELS, _LEVELS)) * scale

    def on(self, image: Tensor) -> Tensor:
        """Return the probabilities of pictures."""
        self._values[INPUT] = image
        for node in self._graph.nodes:
            kind = getattr(self, f"_{node.op_type.lower()}", None)
            if kind is None:
                raise ExportError(
                    f"--qat cannot train a graph with {node.op_type}: export without it, or build the network with other layers"
                )
            self._values[node.output[0]] = kind(node)
            if node.input[0] in self._channels_last and node.op_type in {
                "Cast",
                "QuantizeLinear",
                "DequantizeLinear",
                "Mul",
                "Add",
            }:
                self._channels_last.add(node.output[0])
        return self._values[OUTPUT]

    def _rounded(self, values: Tensor) -> Tensor:
        """Return whole numbers whose gradient is that of the numbers themselves."""
        return values + self._ops.stop_gradient(self._ops.round(values) - values)

    def _value(self, name: str) -> Tensor:
        if name in self._values:
            return self._values[name]
        constant = self._graph.constants[name].astype(np.float32)
        if constant.ndim >= 3:  # noqa: PLR2004  # (channels, 1, 1), for pictures
            constant = np.moveaxis(constant, -3, -1)
        return self._ops.convert_to_tensor(constant)

    def _quantizelinear(self, node: Any) -> Tensor:  # noqa: ANN401
        zero = float(self._graph.constants[node.input[2]])
        scaled = self._value(node.input[0]) / self._value(node.input[1])
        return self._rounded(self._ops.clip(scaled + zero, 0, _TOP))

    def _dequantizelinear(self, node: Any) -> Tensor:  # noqa: ANN401
        if node.input[0] in self._graph.constants:
            return self._values[node.input[0].removesuffix("_quantized")]
        zero = self._graph.constants[node.input[2]].astype(np.float32)
        return (self._value(node.input[0]) - zero) * self._value(node.input[1])

    def _cast(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._value(node.input[0])

    def _mul(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._value(node.input[0]) * self._value(node.input[1])

    def _add(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._value(node.input[0]) + self._value(node.input[1])

    def _relu(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._ops.relu(self._value(node.input[0]))

    def _clip(self, node: Any) -> Tensor:  # noqa: ANN401
        low, high = (float(self._graph.constants[name]) for name in node.input[1:3])
        return self._ops.clip(self._value(node.input[0]), low, high)

    def _softmax(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._ops.softmax(self._value(node.input[0]), axis=-1)

    def _gemm(self, node: Any) -> Tensor:  # noqa: ANN401
        weights = self._value(node.input[1])
        product = self._ops.matmul(
            self._value(node.input[0]),
            self._ops.transpose(weights) if _integers(node).get("transB", [0])[0] else weights,
        )
        return product + self._value(node.input[2]) if len(node.input) > 2 else product  # noqa: PLR2004

    _matmul = _gemm

    def _conv(self, node: Any) -> Tensor:  # noqa: ANN401
        how = _integers(node)
        picture = self._padded(self._value(node.input[0]), how, 0.0)
        weights, groups = self._value(node.input[1]), how.get("group", [1])[0]
        strides, dilation = tuple(how.get("strides", [1, 1])), tuple(how.get("dilations", [1, 1]))
        if groups == 1:
            kernel = self._ops.transpose(weights, (2, 3, 1, 0))
            made = self._ops.conv(picture, kernel, strides, "valid", "channels_last", dilation)
        elif groups == picture.shape[-1]:
            height, width = weights.shape[2:]
            each = self._ops.reshape(weights, (groups, -1, height, width))
            kernel = self._ops.transpose(each, (2, 3, 0, 1))
            made = self._ops.depthwise_conv(picture, kernel, strides, "valid", "channels_last", dilation)
        else:
            raise ExportError(f"--qat cannot train a convolution in {groups} groups: export without it")
        return made + self._value(node.input[2]) if len(node.input) > 2 else made  # noqa: PLR2004

    def _maxpool(self, node: Any) -> Tensor:  # noqa: ANN401
        how = _integers(node)
        picture = self._padded(self._value(node.input[0]), how, -1e9)
        return self._ops.max_pool(
            picture, tuple(how["kernel_shape"]), tuple(how["strides"]), "valid", "channels_last"
        )

    def _averagepool(self, node: Any) -> Tensor:  # noqa: ANN401
        how = _integers(node)
        if any(how.get("pads", [0])):
            raise ExportError("--qat cannot train a padded average pooling: export without it")
        return self._ops.average_pool(
            self._value(node.input[0]),
            tuple(how["kernel_shape"]),
            tuple(how["strides"]),
            "valid",
            "channels_last",
        )

    def _globalaveragepool(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._ops.mean(self._value(node.input[0]), axis=(1, 2), keepdims=True)

    def _padded(self, picture: Tensor, how: dict[str, list[int]], value: float) -> Tensor:
        top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
        if not top + left + bottom + right:
            return picture
        return self._ops.pad(picture, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)

    def _concat(self, node: Any) -> Tensor:  # noqa: ANN401
        return self._ops.concatenate([self._value(name) for name in node.input], axis=-1)

    def _squeeze(self, node: Any) -> Tensor:  # noqa: ANN401
        values = self._value(node.input[0])
        return self._ops.reshape(values, (-1, values.shape[-1]))

    def _transpose(self, node: Any) -> Tensor:  # noqa: ANN401
        if node.input[0] not in self._channels_last:
            self._channels_last.add(node.output[0])
        return self._value(node.input[0])

    def _reshape(self, node: Any) -> Tensor:  # noqa: ANN401
        values, shape = self._value(node.input[0]), self._graph.constants[node.input[1]]
        if len(shape) == len(values.shape):  # the one channel goes to the front
            return values
        if len(values.shape) == 4 and node.input[0] not in self._channels_last:  # noqa: PLR2004
            values = self._ops.transpose(values, (0, 3, 1, 2))
        return self._ops.reshape(values, (-1, math.prod(values.shape[1:])))

    _flatten = _reshape
