"""Biases that make up for what rounding the weights shifts.

Rounded weights move the mean of a layer's output, each channel by its own amount, and the layers behind it
see the shift. The difference from the float graph's mean on the calibration pictures is added to the bias,
layer by layer from the front, each with those before it corrected (Nagel and others, 2019, "Data-Free
Quantization Through Weight Equalization and Bias Correction", section 4.2, the empirical way). It costs
nothing on the device.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.quantization.activations import activations
from edge_fm_exporters.quantization.layerwise import LayerwiseRunner

_WEIGHTED = {"Conv", "Gemm"}


def correct(quantised: ModelProto, model: ModelProto, batches: Sequence[NDArray[np.float32]]) -> ModelProto:
    """Return a quantised model with corrected biases; a layer without a quantised bias stays as it is.

    Args:
        quantised: QDQ, its biases int32 in front of a DequantizeLinear.
        model: the float32 model that it was made of, with the same node names.
        batches: of the input.
    """
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in quantised.graph.initializer}
    makers = {name: node for node in quantised.graph.node for name in node.output}
    wanted = {node.name: node.output[0] for node in model.graph.node if node.op_type in _WEIGHTED}
    layers = [
        (node, makers[node.input[2]])
        for node in quantised.graph.node
        if node.name in wanted and len(node.input) > 2 and node.input[2] in makers  # noqa: PLR2004  # data, weights, bias
    ]
    right = _float_means(model, [wanted[node.name] for node, _ in layers], batches) if layers else []
    stages, later = LayerwiseRunner(quantised, batches), [node for node, _ in layers]
    for (node, bias), mean in zip(layers, right, strict=True):
        later.pop(0)
        own = np.mean([_mean(value) for value in stages.outputs(node, later)], axis=0)
        kept, scale = (stored[name] for name in bias.input[:2])
        steps = np.rint((mean - own) / numpy_helper.to_array(scale))
        levels = np.clip(numpy_helper.to_array(kept) + steps, -(2**31), 2**31 - 1).astype(np.int32)
        kept.CopyFrom(numpy_helper.from_array(levels, kept.name))
    return quantised


def _float_means(
    model: ModelProto, names: list[str], batches: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float64]]:
    """Return the mean of each channel of each tensor, (channels,) float64."""
    found = [
        [_mean(value) for value in values] for values in activations(model, names, batches, optimised=True)
    ]
    return [np.mean(each, axis=0) for each in zip(*found, strict=True)]


def _mean(value: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of each channel, which is the second axis."""
    return np.asarray(value.mean(axis=(0, *range(2, value.ndim)), dtype=np.float64))
