"""The weights in an exported file, as Keras holds them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph import flip_ensemble
from edge_fm_runtime.artifact.session import INPUT

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A kernel in Keras' order of axes, and the bias of each output."""

_LEVELS = 255


def read_weights(data: bytes) -> list[Weights]:
    """Return kernel and bias of every convolution and dense layer in order, for pixels in [0, 1].

    Integers come back as the numbers they stand for. A depthwise kernel is (height, width, channels, 1), any
    other convolution's (height, width, inputs, outputs), a dense one (inputs, outputs).

    Args:
        data: an `.onnx` file that an export has written; its layers have constant weights and a bias.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(data).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            values[node.output[0]] = _dequantised(node, values)
    found = []
    for node in graph.node:
        if node.op_type not in {"Conv", "Gemm"} or len(node.input) < 3 or node.input[1] not in values:  # noqa: PLR2004  # data, weights, bias
            continue
        kernel, bias = (values[name].astype(np.float32) for name in node.input[1:3])
        if node.op_type == "Conv":
            depthwise = kernel.shape[1] == 1 and _attribute(node, "group", 1) == kernel.shape[0]
            kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        elif _attribute(node, "transB", 0):
            kernel = kernel.T
        found.append((kernel, bias))
    if found and any(
        node.op_type == "Cast" and node.input[0] in {INPUT, flip_ensemble.ENSEMBLE_INPUT}
        for node in graph.node
    ):
        kernel, bias = found[0]  # it scales the pixels (`stem.py`)
        found[0] = kernel * np.float32(_LEVELS), bias
    return found


def _dequantised(node: Any, values: dict[str, NDArray[Any]]) -> NDArray[np.float32]:  # noqa: ANN401  # onnx ships no types
    whole, scale, *given = (values[name] for name in node.input)
    zero = given[0] if given else np.zeros(scale.shape, whole.dtype)
    shape = [1] * whole.ndim
    if scale.ndim:
        shape[_attribute(node, "axis", 1) if whole.ndim > 1 else 0] = -1
    return np.asarray((whole.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape), np.float32)


def _attribute(node: Any, name: str, default: int) -> int:  # noqa: ANN401
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)
