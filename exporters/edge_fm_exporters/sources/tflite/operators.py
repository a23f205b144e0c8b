"""Convert the operators of a `.tflite` graph to ONNX, in real numbers: arithmetic and dense layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.tflite.graph import IMAGE_RANK, GraphBuilder, Layout, UnsupportedError, Value
from edge_fm_exporters.sources.tflite.model import Kind, Operator

MAX_ELEMENTS = 2**28
"""Numbers of the largest constant that is computed."""

Convert = Callable[["Step"], Value]

_UNARY = {
    Kind.LOGISTIC: "Sigmoid",
    Kind.RELU: "Relu",
    Kind.TANH: "Tanh",
    Kind.EXP: "Exp",
    Kind.NEG: "Neg",
    Kind.SQRT: "Sqrt",
    Kind.ABS: "Abs",
    Kind.ELU: "Elu",
    Kind.HARD_SWISH: "HardSwish",
}
_BINARY: dict[Kind, tuple[str, np.ufunc]] = {
    Kind.ADD: ("Add", np.add),
    Kind.SUB: ("Sub", np.subtract),
    Kind.MUL: ("Mul", np.multiply),
    Kind.DIV: ("Div", np.true_divide),
    Kind.MAXIMUM: ("Max", np.maximum),
    Kind.MINIMUM: ("Min", np.minimum),
}
_CLIPS = {1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Bounds of the fused activations ReLU, ReLU from -1 to 1, and ReLU6."""

_FUSED_TANH = 4


@dataclass(frozen=True)
class Step:
    """An operator to convert, with the tensors that it reads; None for an optional one that is absent."""

    graph: GraphBuilder
    operator: Operator
    inputs: tuple[Value | None, ...]
    output_shape: tuple[int, ...]

    def has(self, index: int) -> bool:
        """Return whether there is an input of this index."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        """Return an input.

        Raises:
            UnsupportedError: there is none.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise UnsupportedError(f"it has no input {index}")
        return value

    def constant(self, index: int) -> NDArray[np.generic]:
        """Return an input that must be constant.

        Raises:
            UnsupportedError: it is computed.
        """
        numbers = self.value(index).constant
        if numbers is None:
            raise UnsupportedError(f"its input {index} is computed, expected a constant")
        return numbers

    def integers(self, index: int) -> tuple[int, ...]:
        """Return a constant vector of integers.

        Raises:
            UnsupportedError: it is computed, or of real numbers.
        """
        if not np.issubdtype(self.constant(index).dtype, np.integer):
            raise UnsupportedError(f"its input {index} has real numbers, expected integers")
        return tuple(int(number) for number in np.ravel(self.constant(index)))


def unary(step: Step) -> Value:
    """Convert a function of one tensor."""
    value = step.value(0)
    if step.operator.kind is Kind.RSQRT:
        root = step.graph.node("Sqrt", [step.graph.name(value, value.layout)])
        return step.graph.computed(step.graph.node("Reciprocal", [root]), value.shape, value.layout)
    if step.operator.kind is Kind.SQUARE:
        name = step.graph.name(value, value.layout)
        return step.graph.computed(step.graph.node("Mul", [name, name]), value.shape, value.layout)
    name = step.graph.node(_UNARY[step.operator.kind], [step.graph.name(value, value.layout)])
    return step.graph.computed(name, value.shape, value.layout)


def binary(step: Step) -> Value:
    """Convert arithmetic of two tensors, and compute it where both are constant."""
    left, right = step.value(0), step.value(1)
    kind, compute = _BINARY[step.operator.kind]
    shape = np.broadcast_shapes(left.shape, right.shape)
    if left.constant is not None and right.constant is not None:
        if math.prod(shape) > MAX_ELEMENTS:
            raise UnsupportedError(f"constants of the shape {shape} are over {MAX_ELEMENTS:,} numbers")
        numbers = compute(left.constant, right.constant)
        return Value(shape, np.asarray(numbers, np.result_type(left.constant)), {})
    layout = common_layout((left, right))
    names = [
        step.graph.name(_in_rank(value, len(shape)) if layout is Layout.FIRST else value, layout)
        for value in (left, right)
    ]
    return fused(step, step.graph.computed(step.graph.node(kind, names), shape, layout))


def leaky(step: Step) -> Value:
    """Convert a ReLU with a slope for negative numbers, fixed or learnt."""
    value = step.value(0)
    layout, name = value.layout, step.graph.name(value, value.layout)
    if step.operator.kind is Kind.LEAKY_RELU:
        alpha = 0.0 if step.operator.options is None else step.operator.options.real(0)
        return step.graph.computed(step.graph.node("LeakyRelu", [name], alpha=alpha), value.shape, layout)
    slope = step.constant(1)
    slopes = _in_rank(Value(slope.shape, slope, {}), len(value.shape))
    node = step.graph.node("PRelu", [name, step.graph.name(slopes, layout)])
    return step.graph.computed(node, value.shape, layout)


def clip(step: Step) -> Value:
    """Convert ReLU6 and ReLU from -1 to 1."""
    return _clipped(step, step.value(0), {Kind.RELU_N1_TO_1: 2, Kind.RELU6: 3}[step.operator.kind])


def same(step: Step) -> Value:
    """Return the input: in real numbers, quantising and converting a float's type change nothing."""
    return step.value(0)


def softmax(step: Step) -> Value:
    """Convert a softmax of the last axis."""
    value = step.value(0)
    name = step.graph.name(value)
    beta = 0.0 if step.operator.options is None else step.operator.options.real(0)
    if beta != 1:
        name = step.graph.node("Mul", [name, step.graph.constant(beta)])
    return step.graph.computed(step.graph.node("Softmax", [name], axis=-1), value.shape)


def dense(step: Step) -> Value:
    """Convert a dense layer."""
    value, weights = step.value(0), np.asarray(step.constant(1), np.float32)
    if weights.ndim != 2:  # noqa: PLR2004
        raise UnsupportedError(f"its weights have the shape {weights.shape}, expected (outputs, inputs)")
    outputs, inputs = weights.shape
    if step.operator.option(1, "b"):
        raise UnsupportedError("its weights are shuffled")
    if step.operator.option(2, "b") and len(value.shape) > 2:  # noqa: PLR2004
        name = step.graph.node("MatMul", [step.graph.name(value), step.graph.constant(weights.T)])
        if step.has(2):
            name = step.graph.node("Add", [name, step.graph.constant(bias(step, outputs))])
        return fused(step, step.graph.computed(name, (*value.shape[:-1], outputs)))
    if not inputs or np.prod(value.shape) != inputs * value.shape[0]:
        raise UnsupportedError(f"it has weights for {inputs:,} numbers and takes {value.shape}")
    name = step.graph.name(value)
    if len(value.shape) != 2:  # noqa: PLR2004
        name = step.graph.node("Reshape", [name, step.graph.constant(np.array([-1, inputs], np.int64))])
    operands = [name, step.graph.constant(weights.T)]
    operands += [step.graph.constant(bias(step, outputs))] if step.has(2) else []
    return fused(step, step.graph.computed(step.graph.node("Gemm", operands), (value.shape[0], outputs)))


def bias(step: Step, outputs: int) -> NDArray[np.float32]:
    """Return the bias of a layer, which is its third input."""
    numbers = np.asarray(step.constant(2), np.float32)
    if numbers.shape != (outputs,):
        raise UnsupportedError(f"its bias has the shape {numbers.shape}, expected ({outputs},)")
    return numbers


def fused(step: Step, value: Value, field: int = 0) -> Value:
    """Return the output with the activation that is fused to the operator.

    Args:
        step: the operator.
        value: what it computes.
        field: number of the option that names the activation.
    """
    activation = step.operator.option(field, "b")
    if not activation:
        return value
    if activation == _FUSED_TANH:
        name = step.graph.node("Tanh", [step.graph.name(value, value.layout)])
        return step.graph.computed(name, value.shape, value.layout)
    return _clipped(step, value, activation)


def _clipped(step: Step, value: Value, activation: int) -> Value:
    if activation not in _CLIPS:
        raise UnsupportedError(f"it has the fused activation {activation}")
    low, high = _CLIPS[activation]
    operands = [step.graph.name(value, value.layout)]
    if high is None:
        return step.graph.computed(step.graph.node("Relu", operands), value.shape, value.layout)
    operands += [step.graph.constant(low), step.graph.constant(high)]
    return step.graph.computed(step.graph.node("Clip", operands), value.shape, value.layout)


def common_layout(values: tuple[Value, ...]) -> Layout:
    """Return channels first if a computed tensor has it and all computed ones can have it."""
    computed = [value for value in values if value.constant is None]
    can = all(len(value.shape) == IMAGE_RANK for value in computed)
    return Layout.FIRST if can and any(value.layout is Layout.FIRST for value in computed) else Layout.LAST


def _in_rank(value: Value, rank: int) -> Value:
    """Return a constant with axes of length 1 in front, so that its axes can change their order."""
    if value.constant is None or len(value.shape) >= rank:
        return value
    shape = (1,) * (rank - len(value.shape)) + value.shape
    return Value(shape, value.constant.reshape(shape), {})


ARITHMETIC: dict[Kind, Convert] = {
    **dict.fromkeys((*_UNARY, Kind.RSQRT, Kind.SQUARE), unary),
    **dict.fromkeys(_BINARY, binary),
    **dict.fromkeys((Kind.LEAKY_RELU, Kind.PRELU), leaky),
    **dict.fromkeys((Kind.RELU6, Kind.RELU_N1_TO_1), clip),
    **dict.fromkeys((Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.CAST), same),
    Kind.SOFTMAX: softmax,
    Kind.FULLY_CONNECTED: dense,
}
