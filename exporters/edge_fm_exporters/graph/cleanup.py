"""Clean a converted graph until it is what one would write by hand.

Every function takes an onnx.ModelProto and returns one; none changes what the graph computes.
"""

from typing import Any

import numpy as np

from edge_fm_exporters.graph.editing import ModelProto, drop_unused, inferred_shapes, only_consumer, rewire
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_runtime.artifact.session import INPUT, OUTPUT

_TO_NHWC = [0, 2, 3, 1]
_TO_NCHW = [0, 3, 1, 2]


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
    """Turn each MatMul of two matrices and the Add of its bias into one Gemm."""
    from onnx import helper

    graph = model.graph
    shapes = inferred_shapes(model)
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for product in [node for node in graph.node if node.op_type == "MatMul"]:
        addition = only_consumer(graph, product.output[0])
        if addition is None or addition.op_type != "Add" or ranks.get(product.input[1]) != 2:  # noqa: PLR2004
            continue
        if len(shapes.get(product.input[0], ())) != 2:  # noqa: PLR2004  # rows of a sequence, which Gemm refuses
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
    """Move the first scaling of the pixels out of a cleaned graph into its `Scale`.

    Layers such as Rescaling and Normalization are taken out; the one scaling node at the input does their
    work.

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
    pixels, channels = _pixels(graph)
    while (node := only_consumer(graph, pixels)) is not None and node.op_type in {"Mul", "Div", "Add", "Sub"}:
        other = node.input[1] if node.input[0] == pixels else node.input[0]
        turned = node.op_type in {"Div", "Sub"} and other == node.input[0]  # 1 / pixel, 1 - pixel
        if other not in constants or turned or node.output[0] == graph.output[0].name:
            break
        values = numpy_helper.to_array(constants[other]).astype(np.float64)
        if values.size != (values.shape[channels] if values.ndim >= -channels else 1) or (
            node.op_type in {"Mul", "Div"} and not values.all()
        ):
            break  # not one number for each channel
        values = values.reshape(-1)
        none, one = np.zeros(values.size), np.ones(values.size)
        factor = {"Mul": values, "Div": 1 / np.where(values == 0, 1, values)}.get(node.op_type, one)
        offset = {"Add": values, "Sub": -values}.get(node.op_type, none)
        scale = scale.then(factor, offset)
        graph.node.remove(node)
        rewire(bare, node.output[0], pixels)
    drop_unused(bare)
    return bare, scale


def _pixels(graph: Any) -> tuple[str, int]:  # noqa: ANN401  # onnx ships no types
    """Return the tensor of the pixels in a network's order, and its channel axis from the end."""
    first = only_consumer(graph, INPUT)
    if first is not None and first.op_type == "Transpose" and list(first.attribute[0].ints) == _TO_NCHW:
        return first.output[0], -3
    return INPUT, -1


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
            if not name:  # an output that is left out
                continue
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


def _attribute(node: Any, name: str) -> int:  # noqa: ANN401
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)
