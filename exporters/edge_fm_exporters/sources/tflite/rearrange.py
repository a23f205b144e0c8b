"""Convert reshaping, slicing, joining and reducing of a `.tflite` graph; fold shape arithmetic."""

import math

import numpy as np

from edge_fm_exporters.sources.tflite.graph import IMAGE_RANK, TO_FIRST, Layout, UnsupportedError, Value
from edge_fm_exporters.sources.tflite.model import Kind
from edge_fm_exporters.sources.tflite.operators import Convert, Step, common_layout, fused

_REDUCTIONS = {Kind.MEAN: "ReduceMean", Kind.SUM: "ReduceSum", Kind.REDUCE_MAX: "ReduceMax"}
_AXES_AS_INPUT = 18
"""Operator set since which all reductions take their axes as an input; ReduceSum does before."""

_PLANE = (1, 2)


def reshape(step: Step) -> Value:
    """Convert a reshape; its target may be computed from the input's shape."""
    value = step.value(0)
    if step.has(1) and step.value(1).constant is not None:
        target = step.integers(1)
    elif step.operator.options is not None and step.operator.options.has(0):
        target = step.operator.options.integers(0)
    else:
        target = step.output_shape
    return _reshaped(step, value, _complete(target, math.prod(value.shape)))


def squeeze(step: Step) -> Value:
    """Convert taking out axes of length 1."""
    value, options = step.value(0), step.operator.options
    rank = len(value.shape)
    axes = {axis % rank for axis in (options.integers(0) if options is not None else ())}
    axes = axes or {axis for axis in range(1, rank) if value.shape[axis] == 1}
    if any(value.shape[axis] != 1 for axis in axes):
        raise UnsupportedError(f"it takes out the axes {sorted(axes)} of {value.shape}")
    return _reshaped(step, value, tuple(n for axis, n in enumerate(value.shape) if axis not in axes))


def expand(step: Step) -> Value:
    """Convert putting in an axis of length 1."""
    value, (axis, *_) = step.value(0), step.integers(1)
    place = axis % (len(value.shape) + 1)
    return _reshaped(step, value, (*value.shape[:place], 1, *value.shape[place:]))


def transpose(step: Step) -> Value:
    """Convert a change of the axes' order."""
    value, perm = step.value(0), step.integers(1)
    if sorted(perm) != list(range(len(value.shape))) or perm[0] != 0:
        raise UnsupportedError(f"it orders the axes of {value.shape} as {perm}")
    name = step.graph.node("Transpose", [step.graph.name(value)], perm=perm)
    return step.graph.computed(name, tuple(value.shape[axis] for axis in perm))


def concatenation(step: Step) -> Value:
    """Convert a join of tensors along an axis."""
    values = tuple(step.value(index) for index in range(len(step.inputs)))
    rank = len(values[0].shape)
    axis = step.operator.option(0)
    axis = axis + rank if axis < 0 else axis
    if any(len(value.shape) != rank for value in values) or not 0 < axis < rank:
        raise UnsupportedError(f"it joins {[value.shape for value in values]} along the axis {axis}")
    layout = common_layout(values)
    names = [step.graph.name(value, layout) for value in values]
    place = TO_FIRST.index(axis) if layout is Layout.FIRST else axis
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    joined = step.graph.node("Concat", names, axis=place)
    return fused(step, step.graph.computed(joined, tuple(shape), layout), 1)


def reduction(step: Step) -> Value:
    """Convert a mean, sum or maximum over axes."""
    value, keeps = step.value(0), bool(step.operator.option(0, "b"))
    rank, kind = len(value.shape), _REDUCTIONS[step.operator.kind]
    axes = tuple(sorted({axis % rank for axis in step.integers(1)}))
    if not axes or axes[0] == 0:
        raise UnsupportedError(f"it reduces the axes {axes} of {value.shape}, images of a batch among them")
    kept = tuple(1 if axis in axes else length for axis, length in enumerate(value.shape))
    layout = Layout.FIRST if rank == IMAGE_RANK and axes == _PLANE else Layout.LAST
    name = step.graph.name(value, layout)
    if layout is Layout.FIRST and step.operator.kind is Kind.MEAN:
        name = step.graph.node("GlobalAveragePool", [name])
    elif kind == "ReduceSum" or step.graph.opset >= _AXES_AS_INPUT:
        places = np.array([2, 3] if layout is Layout.FIRST else axes, np.int64)
        name = step.graph.node(kind, [name, step.graph.constant(places)], keepdims=1)
    else:
        name = step.graph.node(kind, [name], axes=(2, 3) if layout is Layout.FIRST else axes, keepdims=1)
    reduced = step.graph.computed(name, kept, layout)
    if keeps:
        return reduced
    shape = tuple(length for axis, length in enumerate(value.shape) if axis not in axes)
    if layout is Layout.FIRST:  # one number a channel: both layouts have them in the same order
        reduced = step.graph.computed(name, (kept[0], kept[3]))
    return _reshaped(step, reduced, shape, known=layout is not Layout.FIRST)


def shape_of(step: Step) -> Value:
    """Return the shape of the input, which is known."""
    shape = np.array(step.value(0).shape, np.int64)
    return Value(shape.shape, shape, {})


def pack(step: Step) -> Value:
    """Stack constants, as the arithmetic of shapes does."""
    parts = [step.constant(index) for index in range(len(step.inputs))]
    stacked = np.stack(parts, step.operator.option(1))
    return Value(stacked.shape, stacked, {})


def strided_slice(step: Step) -> Value:
    """Convert a slice with strides; fold one of a constant."""
    value = step.value(0)
    begin_mask, end_mask, ellipsis_mask, new_mask, shrink = (step.operator.option(n) for n in range(5))
    starts, ends, strides = (step.integers(index) for index in (1, 2, 3))
    rank = len(value.shape)
    if ellipsis_mask or new_mask or not len(starts) == len(ends) == len(strides) <= rank or 0 in strides:
        raise UnsupportedError(f"it slices {value.shape} by {starts}, {ends} and {strides}")
    slices: list[slice] = []
    for axis, (start, end, stride) in enumerate(zip(starts, ends, strides, strict=True)):
        bit = 1 << axis
        if shrink & bit:
            slices.append(slice(start, start + 1 if start != -1 else None))
        else:
            slices.append(slice(None if begin_mask & bit else start, None if end_mask & bit else end, stride))
    dropped = {axis for axis in range(len(slices)) if shrink & (1 << axis)}
    if value.constant is not None:
        numbers = value.constant[tuple(slices)]
        kept = tuple(n for axis, n in enumerate(numbers.shape) if axis not in dropped)
        return Value(kept, numbers.reshape(kept), {})
    return _sliced(step, value, slices, dropped)


def _sliced(step: Step, value: Value, slices: list[slice], dropped: set[int]) -> Value:
    if len(range(value.shape[0])[slices[0]]) != value.shape[0] or (slices[0].step or 1) < 0 or 0 in dropped:
        raise UnsupportedError("it slices the images of a batch")
    ranges = [range(length)[cut] for length, cut in zip(value.shape, slices, strict=False)][1:]
    if any(cut.step < 0 for cut in ranges):
        raise UnsupportedError("it slices backwards")
    vectors = (
        [cut.start for cut in ranges],
        [cut.stop for cut in ranges],
        list(range(1, len(slices))),
        [cut.step for cut in ranges],
    )
    operands = [step.graph.constant(np.array(vector, np.int64)) for vector in vectors]
    name = step.graph.node("Slice", [step.graph.name(value), *operands]) if ranges else step.graph.name(value)
    shape = (value.shape[0], *map(len, ranges), *value.shape[len(slices) :])
    kept = tuple(length for axis, length in enumerate(shape) if axis not in dropped)
    return _reshaped(step, step.graph.computed(name, shape), kept)


def _complete(target: tuple[int, ...], elements: int) -> tuple[int, ...]:
    """Return a reshape's target with its -1 filled in."""
    known = math.prod(length for length in target if length != -1)
    if target.count(-1) == 1 and known > 0 and elements % known == 0:
        target = tuple(elements // known if length == -1 else length for length in target)
    if any(length < 0 for length in target) or math.prod(target) != elements:
        raise UnsupportedError(f"it reshapes {elements:,} numbers to {target}")
    return target


def _reshaped(step: Step, value: Value, shape: tuple[int, ...], *, known: bool = True) -> Value:
    """Return a tensor in another shape; a `known` one of that shape already is left as it is."""
    if value.constant is not None:
        return Value(shape, value.constant.reshape(shape), {})
    if known and shape == value.shape:
        return value
    target = step.graph.constant(np.array([-1, *shape[1:]], np.int64))
    return step.graph.computed(step.graph.node("Reshape", [step.graph.name(value), target]), shape)


REARRANGING: dict[Kind, Convert] = {
    **dict.fromkeys(_REDUCTIONS, reduction),
    Kind.RESHAPE: reshape,
    Kind.SQUEEZE: squeeze,
    Kind.EXPAND_DIMS: expand,
    Kind.TRANSPOSE: transpose,
    Kind.CONCATENATION: concatenation,
    Kind.SHAPE: shape_of,
    Kind.PACK: pack,
    Kind.STRIDED_SLICE: strided_slice,
}
