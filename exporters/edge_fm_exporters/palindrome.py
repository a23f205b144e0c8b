"""Kernels that are themselves read backwards, as those of a network that is its own mirror image: held once in the file.

Turned over from left to right, and with its channels in the reverse order, such a kernel is the same. The file has the first half of its
outputs, and two nodes that read it backwards for the second: runtimes fold them away when they open the file, so it is no slower, and
holds as many numbers as were trained.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph import ModelProto, add_constant, drop_unused, only_consumer

_WEIGHTED = {"Conv", "Gemm", "MatMul"}

_TURNED = {4: ((0, 1, 3), (0, 3)), 2: ((0,), (1,)), 1: ((0,),)}
"""By how many axes a constant has, which of them are reversed: of (outputs, inputs, height, width), the inputs but where they are a picture's or
one for each channel; of a matrix, those of the features; of a bias, its one."""

_LAST_BITS = 1e-5
"""Share of the largest number."""

_TO_THE_FIRST = np.iinfo(np.int64).min
"""Where a Slice that goes backwards ends, to take the first too."""

_SLICED = 5
"""Inputs of a Slice that says all: data, starts, ends, axes, steps."""


def evened(model: ModelProto) -> ModelProto:
    """Return a float32 network whose kernels are exactly what they are read backwards, if they all nearly are; else as it is.

    TensorFlow folds normalisations a vector of channels at a time, and a rest that is no whole vector by other code, whose last bits differ.
    """
    kernels, biases = _kernels(model), _biases(model)
    axes = {name: _turned_axes(kernel, _LAST_BITS) for name, kernel in kernels.items()}
    if not kernels or not all(axes.values()) or not all(_turned_axes(b, _LAST_BITS) for b in biases.values()):
        return model
    return _with(
        model,
        {name: _mirrored(kernel, axes[name]) for name, kernel in kernels.items()}
        | {name: _mirrored(bias, (0,)) for name, bias in biases.items()},
    )


def symmetric(model: ModelProto) -> bool:
    """Return whether every kernel of a network, and what its convolutions add, is itself read backwards: it answers a picture and its mirror image alike."""
    constants = (_kernels(model) | _biases(model)).values()
    return bool(constants) and all(_turned_axes(constant) for constant in constants)


def tied(model: ModelProto) -> ModelProto:
    """Return a quantised network whose biases are themselves read backwards, as its kernels are: corrected by sums over pictures, they differ by a step.

    Args:
        model: made of one that is `symmetric`; fine-tuned, when its sides have gone their own ways, it is left as it is.
    """
    if not all(_turned_axes(kernel) for kernel in _kernels(model).values()):
        return model
    return _with(model, {name: _mirrored(bias, (0,)) for name, bias in _biases(model).items()})


def held_once(model: ModelProto) -> ModelProto:
    """Return a model whose kernels are half as large where the other half is the same; it computes the same.

    Args:
        model: float32, or quantised: the kernels are its integers then.
    """
    import onnx

    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    for name, kernel in _kernels(model).items():
        axes = _turned_axes(kernel)
        if axes:
            _halve(smaller, name, kernel, axes)
    drop_unused(smaller)
    onnx.checker.check_model(smaller, full_check=True)
    return smaller


def written_out(model: ModelProto) -> ModelProto:
    """Return a model with whole kernels, as it was before `held_once`."""
    import onnx
    from onnx import numpy_helper

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    graph = whole.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for turning in [node for node in graph.node if node.op_type == "Slice"]:
        joining = only_consumer(graph, turning.output[0])
        if (
            not _reads_backwards(turning, values)
            or joining is None
            or joining.op_type != "Concat"
            or list(joining.input) != [turning.input[0], turning.output[0]]
        ):
            continue
        half, axes = values[turning.input[0]], tuple(values[turning.input[3]].tolist())
        kernel = np.concatenate([half, np.flip(half, axes)], joining.attribute[0].i)
        graph.node.remove(turning)
        graph.node.remove(joining)
        add_constant(whole, joining.output[0], kernel)
    drop_unused(whole)
    return whole


def _reads_backwards(turning: Any, values: dict[str, NDArray[Any]]) -> bool:  # noqa: ANN401  # onnx ships no types
    """Return whether a Slice reads all of a constant backwards, as those that `held_once` writes."""
    if len(turning.input) != _SLICED or any(name not in values for name in turning.input):
        return False
    starts, ends, _, steps = (values[name] for name in turning.input[1:])
    return bool((starts == -1).all() and (ends == _TO_THE_FIRST).all() and (steps == -1).all())


def _kernels(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants that convolutions and dense layers take as kernels, by name, behind a DequantizeLinear too."""
    return _taken(model, _WEIGHTED, 1)


def _biases(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return the same of what convolutions add; a dense layer behind them adds to classes."""
    return _taken(model, {"Conv"}, 2)


def _taken(model: ModelProto, kinds: set[str], position: int) -> dict[str, NDArray[Any]]:
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    sources = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"
    }
    names = [
        node.input[position]
        for node in model.graph.node
        if node.op_type in kinds and len(node.input) > position
    ]
    found = [sources.get(name, name) for name in names]
    return {name: numpy_helper.to_array(constants[name]) for name in found if name in constants}


def _turned_axes(constant: NDArray[Any], tolerance: float = 0.0) -> tuple[int, ...]:
    """Return the axes along which a kernel or bias is itself read backwards; none if it is not, or cannot be halved.

    Args:
        constant: the kernel.
        tolerance: by how much it may miss, as a share of its largest number.
    """
    least = tolerance * float(np.abs(constant).max(initial=0))
    return next(
        (
            axes
            for axes in _TURNED.get(constant.ndim, ())
            if constant.shape[axes[0]] % 2 == 0
            and np.all(np.abs(constant - np.flip(constant, axes)) <= least)
        ),
        (),
    )


def _mirrored(constant: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    """Return a kernel or bias whose second half is the first read backwards."""
    first = np.split(constant, 2, axes[0])[0]
    return np.concatenate([first, np.flip(first, axes)], axes[0])


def _with(model: ModelProto, values: dict[str, NDArray[Any]]) -> ModelProto:
    """Return a model with other values of some constants."""
    import onnx
    from onnx import numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return changed


def _halve(model: ModelProto, name: str, kernel: NDArray[Any], axes: tuple[int, ...]) -> None:
    from onnx import helper

    half, turned = f"{name}_half", f"{name}_turned"
    add_constant(model, half, np.split(kernel, 2, axes[0])[0])
    kind = len(axes)  # constants that all kernels of a kind read
    last = _constant(model, f"last_{kind}", [-1] * kind)
    first = _constant(model, f"first_{kind}", [_TO_THE_FIRST] * kind)
    along = _constant(model, f"axes_{''.join(map(str, axes))}", list(axes))
    turning = helper.make_node("Slice", [half, last, first, along, last], [turned])  # steps are -1 as well
    joining = helper.make_node("Concat", [half, turned], [name], axis=axes[0])
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == name))
    model.graph.node.insert(0, joining)
    model.graph.node.insert(0, turning)


def _constant(model: ModelProto, name: str, values: list[int]) -> str:
    if all(tensor.name != name for tensor in model.graph.initializer):
        add_constant(model, name, np.array(values, np.int64))
    return name
