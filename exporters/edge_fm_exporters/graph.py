"""Clean a converted graph until it is what one would write by hand.

Every function takes an onnx.ModelProto and returns one; none changes what the graph computes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.scale import Scale
from edge_fm_runtime.errors import ExportError
from edge_fm_runtime.inputs import InputSpec
from edge_fm_runtime.session import INPUT, OUTPUT

ModelProto = Any
"""An `onnx.ModelProto`; onnx ships no types."""

AttributeProto = Any
"""An `onnx.AttributeProto`."""

_TO_NHWC = [0, 2, 3, 1]
_SHAPING = {"Reshape", "Transpose"}
"""The same for integers as for floats."""
_CHANNELS = 3
"""Axis of the channels in the input."""


def clean(model: ModelProto) -> ModelProto:
    """Fold constants, fuse, drop what does nothing, and give short names."""
    import onnx
    import onnxslim

    model = fuse_dense(fold_flatten_transpose(onnxslim.slim(model)))
    drop_unused(model)
    _rename(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def fold_flatten_transpose(model: ModelProto) -> ModelProto:
    """Drop the Transpose to NHWC before a Flatten and turn the following weights instead."""
    from onnx import numpy_helper

    shapes = inferred_shapes(model)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for transpose in [node for node in graph.node if node.op_type == "Transpose"]:
        reshape = only_consumer(graph, transpose.output[0])
        product = only_consumer(graph, reshape.output[0]) if reshape is not None else None
        shape = shapes.get(transpose.input[0], [])
        if (
            reshape is None
            or product is None
            or reshape.op_type != "Reshape"
            or product.op_type not in {"MatMul", "Gemm"}
            or product.input[1] not in constants
            or list(transpose.attribute[0].ints) != _TO_NHWC
            or len(shape) != len(_TO_NHWC)
        ):
            continue
        channels, height, width = shape[1:]
        weights = numpy_helper.to_array(constants[product.input[1]])
        if weights.shape[0] != channels * height * width or _attribute(product, "transB"):
            continue
        turned = weights.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(weights.shape)
        constants[product.input[1]].CopyFrom(numpy_helper.from_array(turned.copy(), product.input[1]))
        reshape.input[0] = transpose.input[0]
        graph.node.remove(transpose)
    return model


def fuse_dense(model: ModelProto) -> ModelProto:
    """Turn each MatMul by a matrix and the Add of its bias into one Gemm."""
    from onnx import helper

    graph = model.graph
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for product in [node for node in graph.node if node.op_type == "MatMul"]:
        addition = only_consumer(graph, product.output[0])
        if addition is None or addition.op_type != "Add" or ranks.get(product.input[1]) != 2:  # noqa: PLR2004
            continue
        bias = next((name for name in addition.input if name != product.output[0]), "")
        if ranks.get(bias) != 1:
            continue
        position = list(graph.node).index(product)
        gemm = helper.make_node("Gemm", [*product.input, bias], addition.output, name=product.name)
        graph.node.remove(product)
        graph.node.remove(addition)
        graph.node.insert(position, gemm)
    return model


def without_scaling(model: ModelProto, scale: Scale) -> tuple[ModelProto, Scale]:
    """Return a cleaned graph without what it multiplies its pixels by and adds to them first, and a scale that does that too.

    Layers such as Rescaling and Normalization are taken out; the one scaling node at the input does their work.

    Args:
        model: float32 input `image`.
        scale: of the pixels before the graph.
    """
    import onnx
    from onnx import numpy_helper

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    while (node := only_consumer(graph, INPUT)) is not None and node.op_type in {"Mul", "Div", "Add", "Sub"}:
        other = node.input[1] if node.input[0] == INPUT else node.input[0]
        turned = node.op_type in {"Div", "Sub"} and other == node.input[0]  # 1 / pixel, 1 - pixel
        if other not in constants or turned or node.output[0] == graph.output[0].name:
            break
        values = numpy_helper.to_array(constants[other]).astype(np.float64)
        if values.size != max((1, *values.shape[-1:])) or (
            node.op_type in {"Mul", "Div"} and not values.all()
        ):
            break  # not one number for each channel
        values = values.reshape(-1)
        none, one = np.zeros(values.size), np.ones(values.size)
        factor = {"Mul": values, "Div": 1 / np.where(values == 0, 1, values)}.get(node.op_type, one)
        offset = {"Add": values, "Sub": -values}.get(node.op_type, none)
        scale = scale.then(factor, offset)
        graph.node.remove(node)
        _rewire(bare, node.output[0], INPUT)
    drop_unused(bare)
    return bare, scale


def with_uint8_input(model: ModelProto, spec: InputSpec, scale: Scale) -> ModelProto:
    """Return a copy whose input is uint8, scaled inside by one DequantizeLinear, and an Add if no pixel becomes zero."""
    import onnx

    scaled = onnx.ModelProto()
    scaled.CopyFrom(model)
    replace_input(scaled, spec)
    _rewire(scaled, INPUT, f"{INPUT}_scaled")
    zero_point = scale.zero_point
    made = f"{INPUT}_scaled" if zero_point is not None else f"{INPUT}_multiplied"
    inputs = _add_scale(scaled, scale)
    node = onnx.helper.make_node("DequantizeLinear", [INPUT, *inputs], [made], name="scale", axis=_CHANNELS)
    scaled.graph.node.insert(0, node)
    if zero_point is None:
        add_constant(scaled, "offset", scale.offset)
        shift = onnx.helper.make_node("Add", [made, "offset"], [f"{INPUT}_scaled"], name="shift")
        scaled.graph.node.insert(1, shift)
    drop_unused(scaled)
    onnx.checker.check_model(scaled, full_check=True)
    return scaled


def with_batch(data: bytes, batch: int | None) -> bytes:
    """Return a model that takes exactly `batch` pictures at a time; None leaves the number free."""
    if batch is None:
        return data
    import onnx

    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def begins_quantized(model: ModelProto) -> bool:
    """Return whether a QDQ model's input is quantised before anything but its shape is changed."""
    first = only_consumer(model.graph, INPUT)
    while first is not None and first.op_type in _SHAPING:
        first = only_consumer(model.graph, first.output[0])
    return first is not None and first.op_type == "QuantizeLinear"


def quantized_with_uint8_input(model: ModelProto, spec: InputSpec, scale: Scale) -> ModelProto:
    """Return a QDQ model whose first QuantizeLinear is gone: the pixels are its integers, exactly.

    Raises:
        ExportError: the input is not quantised at once.
    """
    import onnx

    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    graph = exact.graph
    tensor, first = INPUT, only_consumer(graph, INPUT)
    while first is not None and first.op_type in _SHAPING:
        tensor = first.output[0]
        first = only_consumer(graph, tensor)
    second = only_consumer(graph, first.output[0]) if first is not None else None
    if (
        first is None
        or second is None
        or first.op_type != "QuantizeLinear"
        or second.op_type != "DequantizeLinear"
    ):
        raise ExportError(
            "the quantised graph does not begin with its input's QuantizeLinear: export without --int8"
        )
    graph.node.remove(first)
    second.input[:] = [tensor, *_add_scale(exact, scale)]
    replace_input(exact, spec)
    del graph.value_info[:]  # it says float of what is now uint8
    drop_unused(exact)
    onnx.checker.check_model(exact, full_check=True)
    return exact


def _add_scale(model: ModelProto, scale: Scale) -> list[str]:
    """Add the constants of the scaling DequantizeLinear and return their names."""
    factor, zero_point = scale.factor, scale.zero_point
    zero_point = np.zeros((), np.uint8) if zero_point is None else zero_point
    shape = np.broadcast_shapes(factor.shape, zero_point.shape)
    add_constant(model, "scale", np.broadcast_to(factor, shape).copy())
    add_constant(model, "zero", np.broadcast_to(zero_point, shape).copy())
    return ["scale", "zero"]


def _rename(model: ModelProto) -> None:
    """Name nodes and tensors after their operators: conv_1, relu_1, conv_1_weights."""
    graph = model.graph
    source_output = graph.output[0].name
    names = {graph.input[0].name: INPUT}
    counts: dict[str, int] = {}
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        kind = node.op_type.lower()
        counts[kind] = counts.get(kind, 0) + 1
        node.name = f"{kind}_{counts[kind]}"
        for position, name in enumerate(node.input):
            if name in constants and name not in names:
                names[name] = (
                    f"{node.name}_{('weights', 'bias')[position - 1] if position in {1, 2} else position}"
                )
        for position, name in enumerate(node.output):
            names[name] = node.name if position == 0 else f"{node.name}_{position}"
    names[source_output] = OUTPUT
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    del graph.value_info[:]
    graph.name = "classifier"
    graph.doc_string = ""


def inferred_shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the shape of every tensor that onnx can tell it of, 0 where an axis has no fixed length."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input)
    }


def only_consumer(graph: Any, tensor: str) -> Any:  # noqa: ANN401
    """Return the one node that reads a tensor; None if there are none or several."""
    consumers = [node for node in graph.node if tensor in node.input]
    return consumers[0] if len(consumers) == 1 else None


def _attribute(node: Any, name: str) -> int:  # noqa: ANN401
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)


def _rewire(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def replace_input(model: ModelProto, spec: InputSpec) -> None:
    """Give the model the uint8 input."""
    from onnx import TensorProto, helper

    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", *spec.shape]))


def add_constant(model: ModelProto, name: str, value: np.generic | NDArray[np.generic]) -> None:
    """Add a constant of a name that is not there yet."""
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def drop_unused(model: ModelProto) -> None:
    """Drop constants that no node reads, and operator sets that no node is of."""
    domains = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in domains]:
        model.opset_import.remove(opset)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
