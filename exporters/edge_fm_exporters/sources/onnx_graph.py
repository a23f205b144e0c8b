"""Edit foreign ONNX graphs: to float32, one output, a free batch, another operator set."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

ModelProto = Any
"""An `onnx.ModelProto`; onnx ships no types."""

NodeProto = Any
"""An `onnx.NodeProto`."""

_TYPE_ATTRIBUTES = {"to", "dtype", "output_datatype"}
_CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"}
_DROPOUT_MODE = 2
"""Position of the input that says whether a Dropout trains."""

_QUANTIZING = {"QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
_SHAPING = {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}
"""The same for integers as for floats."""


def copy(model: ModelProto) -> ModelProto:
    """Return a copy of a model."""
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def opset_version(model: ModelProto) -> int:
    """Return the version of the standard operators that a model uses; 1 if it states none."""
    return max((opset.version for opset in model.opset_import if opset.domain in {"", "ai.onnx"}), default=1)


def hold_constants(model: ModelProto) -> None:
    """Turn Constant nodes into initialisers, and take initialisers out of the inputs."""
    from onnx import numpy_helper

    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant" and len(node.attribute) == 1]:
        value = node.attribute[0]
        if value.name == "value":
            tensor = value.t
        elif value.name in {"value_int", "value_ints"}:
            tensor = numpy_helper.from_array(np.array(value.ints or value.i, np.int64))
        elif value.name in {"value_float", "value_floats"}:
            tensor = numpy_helper.from_array(np.array(value.floats or value.f, np.float32))
        else:
            continue
        graph.initializer.append(tensor)
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)
    constants = {tensor.name for tensor in graph.initializer}
    for given in [given for given in graph.input if given.name in constants]:
        graph.input.remove(given)


def is_quantizer(node: NodeProto, constants: Mapping[str, Any]) -> bool:
    """Return whether a node quantises or computes with integers in place of floats."""
    return (
        node.op_type in _QUANTIZING
        or node.op_type.startswith("QLinear")
        or (node.op_type == "DequantizeLinear" and node.input[0] in constants)
    )


def is_training(node: NodeProto, constants: Mapping[str, Any]) -> bool:
    """Return whether a node drops values at random, or normalises by its batch, as in training."""
    from onnx import numpy_helper

    if node.op_type == "Dropout" and len(node.input) > _DROPOUT_MODE:
        mode = constants.get(node.input[_DROPOUT_MODE])
        return mode is not None and bool(numpy_helper.to_array(mode).any())
    return node.op_type == "BatchNormalization" and any(
        attribute.name == "training_mode" and attribute.i for attribute in node.attribute
    )


def as_float32(model: ModelProto) -> str:
    """Turn floats of 16 and 64 bits into those of 32, in place.

    Returns:
        Name of the type of its weights or input, if that was another; else empty.
    """
    from onnx import TensorProto, numpy_helper

    others = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
    graph, found = model.graph, ""

    def narrow(tensor: Any) -> None:  # noqa: ANN401
        if tensor.data_type in others:
            values = np.asarray(numpy_helper.to_array(tensor), np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    for tensor in graph.initializer:
        if len(tensor.dims) > 1:
            found = found or others.get(tensor.data_type, "")
        narrow(tensor)
    for attribute in [attribute for node in graph.node for attribute in node.attribute]:
        if attribute.HasField("t"):
            narrow(attribute.t)
        elif attribute.name in _TYPE_ATTRIBUTES and attribute.i in others:
            attribute.i = TensorProto.FLOAT
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type  # of a sequence it is empty
        if kind.elem_type in others:
            found = found or others[kind.elem_type]
            kind.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    return found


def with_float_input(model: ModelProto) -> None:
    """Give a model with a uint8 input a float32 one with the same numbers, in place."""
    from onnx import TensorProto, helper

    graph = model.graph
    given = graph.input[0]
    if given.type.tensor_type.elem_type != TensorProto.UINT8:
        return
    given.type.tensor_type.elem_type = TensorProto.FLOAT
    if _only_cast(graph, given.name):
        return
    pixels = f"{given.name}_uint8"
    _rewire(graph, given.name, pixels)
    graph.node.insert(0, helper.make_node("Cast", [given.name], [pixels], to=TensorProto.UINT8))


def without_zip_maps(model: ModelProto) -> tuple[str, ...]:
    """Let outputs that are dictionaries be the tensors that they are made of, in place.

    Returns:
        Names of the classes that the dictionaries or the classifier give; empty if they only count them.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    names: tuple[str, ...] = ()
    for node in [node for node in graph.node if node.op_type in {"ZipMap", *_CLASSIFIERS}]:
        names = names or _class_names(node)
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        for output in graph.output:
            if output.name == node.output[0]:
                output.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None))
        graph.node.remove(node)
    return names


def keep_output(model: ModelProto, name: str) -> None:
    """Drop all outputs but one, and the nodes and constants that only they need, in place."""
    graph = model.graph
    for output in [output for output in graph.output if output.name != name]:
        graph.output.remove(output)
    needed, kept = {name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in needed]:
        graph.initializer.remove(tensor)


def free_batch(model: ModelProto, batch: int) -> None:
    """Let a model of a fixed batch take any number of images, in place, as far as Reshapes hold it.

    The first length of a Reshape's constant target is left to the data: it is what the others leave over, or
    where one of them is, that of the tensor itself.
    """
    from onnx import numpy_helper, shape_inference

    graph = model.graph
    inferred = shape_inference.infer_shapes(model).graph
    firsts = {
        value.name: value.type.tensor_type.shape.dim[0].dim_value
        for value in (*inferred.value_info, *inferred.input)
        if value.type.tensor_type.shape.dim
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).astype(np.int64).reshape(-1)
        if len(target) < 2 or target[0] < 1:  # noqa: PLR2004
            continue
        if -1 in target and firsts.get(node.input[0], batch) != target[0]:
            continue
        freed = np.array([0 if -1 in target else -1, *target[1:]], np.int64)
        node.input[1] = f"edge_fm_target_{index}"
        graph.initializer.append(numpy_helper.from_array(freed, node.input[1]))


def set_shapes(
    model: ModelProto, batch: int | str, given: Sequence[int | None], answered: Sequence[int]
) -> None:
    """Declare the input and the one output to be float32 of the given lengths, in place.

    Args:
        model: its inner shapes are forgotten.
        batch: length of the first axis, or its name if it is free.
        given: lengths of the input's other axes.
        answered: lengths of the output's other axes.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    for values, lengths in ((graph.input, given), (graph.output, answered)):
        name = values[0].name
        del values[:]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *lengths]))
    del graph.value_info[:]


def with_opset(model: ModelProto, opset: int) -> ModelProto | None:
    """Return a model in another version of the operator set; None if it cannot be converted."""
    import onnx
    from onnx import version_converter

    if opset_version(model) == opset:
        return copy(model)
    try:
        converted = version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted, full_check=True)
    except Exception:  # noqa: BLE001  # the converter raises whatever it meets
        return None
    return converted


def set_ir_version(model: ModelProto) -> None:
    """State the oldest file version that the operators need, which the most readers open, in place."""
    from onnx import helper

    model.ir_version = max(8, helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True))


def largest_computed(model: ModelProto) -> int:
    """Return the size of the largest tensor of known shape, in numbers; axes of any length count 1."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    return max(
        (
            product([max(1, axis.dim_value) for axis in value.type.tensor_type.shape.dim])
            for value in (*inferred.value_info, *inferred.input, *inferred.output)
        ),
        default=0,
    )


def constant_tensors(model: ModelProto) -> list[Any]:
    """Return the tensors that a graph brings: initialisers and attributes."""
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    return [*model.graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t"))]


def product(lengths: Iterable[int]) -> int:
    """Return how many numbers a tensor has, in exact arithmetic: a stranger's lengths may overflow."""
    return math.prod(map(int, lengths))


def _class_names(node: NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name in {"classlabels_strings", "classlabels_int64s", "classlabels_ints"}:
            if attribute.strings:
                return tuple(name.decode(errors="replace") for name in attribute.strings)
            if list(attribute.ints) != list(range(len(attribute.ints))):
                return tuple(map(str, attribute.ints))
    return ()


def _only_cast(graph: Any, tensor: str) -> bool:  # noqa: ANN401
    """Return whether every use of a tensor casts it to float32, before anything but its shape is changed."""
    from onnx import TensorProto

    readers = [node for node in graph.node if tensor in node.input]
    return bool(readers) and all(
        node.attribute[0].i == TensorProto.FLOAT
        if node.op_type == "Cast"
        else node.op_type in _SHAPING and _only_cast(graph, node.output[0])
        for node in readers
    )


def _rewire(graph: Any, old: str, new: str) -> None:  # noqa: ANN401
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
