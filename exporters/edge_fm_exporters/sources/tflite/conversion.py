"""Convert a `.tflite` graph to ONNX: int8 and float16 become float32."""

from typing import Any

import numpy as np

from edge_fm_exporters.sources.tflite.graph import GraphBuilder, UnsupportedError, Value
from edge_fm_exporters.sources.tflite.model import Kind, LiteModel, Operator, Tensor
from edge_fm_exporters.sources.tflite.operators import ARITHMETIC, Step
from edge_fm_exporters.sources.tflite.pixels import pixel_scale
from edge_fm_exporters.sources.tflite.rearrange import REARRANGING
from edge_fm_exporters.sources.tflite.spatial import SPATIAL
from edge_fm_runtime.errors import ModelError

_CONVERT = {**ARITHMETIC, **SPATIAL, **REARRANGING}
_FUSED = {Kind.CONV_2D: 3, Kind.DEPTHWISE_CONV_2D: 4, Kind.FULLY_CONNECTED: 0, Kind.ADD: 0}
"""Number of the option with the activation of operators whose saturation can act as one."""


def convert(model: LiteModel, opset: int, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  # onnx ships no types
    """Return an ONNX model with the float32 input `image` in the file's shape, its batch axis free.

    Args:
        model: the file.
        opset: of the ONNX operators.
        shape: of its input, with the batch axis of the file and no open axis.

    Raises:
        ModelError: an operator is used in a way that is not converted.
    """
    graph = GraphBuilder(opset, shape)
    values: dict[int, Value] = {model.input_index: _pixels(model.input, graph)}
    for operator in model.operators:
        (output,) = operator.outputs
        try:
            values[output] = _converted(model, operator, graph, values)
        except (UnsupportedError, ValueError, IndexError, ZeroDivisionError) as error:
            raise ModelError(
                f"{model.path} has a {operator.kind.name} that is not converted: {error}. Expected a classifier of "
                "images; give the Keras model or the SavedModel that it was converted from"
            ) from error
    result = values[model.output_index]
    if result.constant is not None or result is values[model.input_index]:
        raise ModelError(f"{model.path} computes nothing from its input, expected a classifier of images")
    return graph.finish(result)


def _pixels(tensor: Tensor, graph: GraphBuilder) -> Value:
    """Return the input in the network's real numbers, of pixels in [0, 255] where it is quantised."""
    scale = pixel_scale(tensor)
    if scale is None:
        return graph.start
    shifted = graph.node("Sub", [graph.name(graph.start), graph.constant(scale.zero_point)])
    name = graph.node("Mul", [shifted, graph.constant(scale.factor)])
    return graph.computed(name, graph.start.shape)


def _converted(model: LiteModel, operator: Operator, graph: GraphBuilder, values: dict[int, Value]) -> Value:
    tensor = model.tensors[operator.outputs[0]]
    inputs = tuple(_input(model, index, values) for index in operator.inputs)
    step = Step(graph, operator, inputs, tensor.shape)
    value = _CONVERT[operator.kind](step)
    if value.constant is not None:
        return value
    if not value.shape or value.shape[0] != graph.batch:
        raise UnsupportedError(f"it makes {value.shape} of a batch of {graph.batch}, which mixes images")
    if not np.issubdtype(tensor.dtype, np.floating) and not tensor.is_quantized:
        raise UnsupportedError(f"it computes in {np.dtype(tensor.dtype).name}")
    return _saturated(operator, tensor, step, value)


def _input(model: LiteModel, index: int, values: dict[int, Value]) -> Value | None:
    if index < 0:
        return None
    if index not in values:
        numbers = model.tensors[index].values()
        values[index] = Value(numbers.shape, numbers, {})
    return values[index]


def _saturated(operator: Operator, tensor: Tensor, step: Step, value: Value) -> Value:
    """Return the output of a quantised operator cut at zero if its int8 range ends there.

    Converters leave out a ReLU that the range makes needless.
    """
    field = _FUSED.get(operator.kind)
    if field is None or not tensor.is_quantized or operator.option(field, "b"):
        return value
    if int(tensor.zero_point[0]) != tensor.limits[0]:
        return value
    name = step.graph.node("Relu", [step.graph.name(value, value.layout)])
    return step.graph.computed(name, value.shape, value.layout)
