"""Leave the first convolutions in float where that is faster (docs/decisions/0003-int8-recipe.md).

With one input channel a convolution is slower in int8 than in float, and so are a convolution of colour
pixels and the depthwise one behind it, at the size of the image and with few channels. Merely leaving it in
float makes the model slower still: onnxruntime moves the QuantizeLinear that follows up through the pooling,
which then runs in int8 in the wrong layout, and quantises the convolution after all if a DequantizeLinear
feeds it. And what a residual sum takes from behind it stays in the wrong layout.
"""

from typing import Any

import numpy as np

from edge_fm_exporters.graph.editing import (
    ModelProto,
    add_constant,
    drop_unused,
    inferred_shapes,
    only_consumer,
    replace_input,
)
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT

_SHAPING = {"Reshape", "Transpose"}
_ACTIVATIONS = {"Relu", "Clip"}
_COLOURS = 3
_CHANNELS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_HALF = 2.0
"""Without a Relu the stem computes halves that a product doubles: exact, and it stops QuantizeLinear."""


def nodes(model: ModelProto) -> tuple[str, ...]:
    """Return the nodes of the float stem, from the input on; none if the network has no such stem.

    It is a convolution of one channel with its Relu and its MaxPool, or one of three channels with the
    depthwise and the pointwise convolution behind it and their activations, and what shapes its input.
    """
    graph = model.graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found: list[Any] = []
    node = only_consumer(graph, INPUT)
    while node is not None and node.op_type in _SHAPING:
        found.append(node)
        node = only_consumer(graph, node.output[0])
    if not _kernel(node, weights) or _groups(node) != 1:
        return ()
    channels = _kernel(node, weights)[1]
    found.append(node)
    if channels == 1:
        for kind in ("Relu", "MaxPool"):
            after = only_consumer(graph, found[-1].output[0])
            if after is not None and after.op_type == kind:
                found.append(after)
        return tuple(node.name for node in found)
    separable = _separable(graph, node, weights) if channels == _COLOURS else []
    return tuple(node.name for node in (*found, *separable)) if separable else ()


def _separable(graph: Any, first: Any, weights: dict[str, list[int]]) -> list[Any]:  # noqa: ANN401  # onnx ships no types
    """Return the nodes behind a convolution up to the first depthwise and the pointwise one behind it.

    Activations belong to the convolution before them. Without a depthwise convolution there are none.
    """
    found = _activation(graph, first)
    depthwise = only_consumer(graph, (found or [first])[-1].output[0])
    shape = _kernel(depthwise, weights)
    if not shape or shape[1] != 1 or _groups(depthwise) != shape[0]:
        return []
    found += [depthwise, *_activation(graph, depthwise)]
    pointwise = only_consumer(graph, found[-1].output[0])
    shape = _kernel(pointwise, weights)
    if shape and _groups(pointwise) == 1 and set(shape[2:]) == {1}:
        found += [pointwise, *_activation(graph, pointwise)]
    return found


def _activation(graph: Any, node: Any) -> list[Any]:  # noqa: ANN401
    """Return the Relu or Clip that alone reads a node, if there is one."""
    after = only_consumer(graph, node.output[0])
    return [after] if after is not None and after.op_type in _ACTIVATIONS else []


def _kernel(node: Any, weights: dict[str, list[int]]) -> list[int]:  # noqa: ANN401
    """Return the shape of a convolution's constant weights; empty for any other node."""
    return weights.get(node.input[1], []) if node is not None and node.op_type == "Conv" else []


def _groups(node: Any) -> int:  # noqa: ANN401
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)


def with_uint8_input(model: ModelProto, stem: tuple[str, ...], spec: InputSpec, scale: Scale) -> ModelProto:
    """Give a model with a float stem a uint8 input, scaled by the convolution's weights.

    A mean is subtracted ahead of it, as the zeros of its padding stand for the mean, and factors that differ
    between channels are multiplied there.

    Args:
        model: quantised but for the stem, float32 input.
        stem: the result of `nodes`.
        spec: of the input.
        scale: of the pixels.
    """
    import onnx
    from onnx import helper, numpy_helper

    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    graph = exact.graph
    inside = {node.name: node for node in graph.node if node.name in stem}
    convolution = next(node for node in inside.values() if node.op_type == "Conv")
    rectified = next((node for node in inside.values() if node.op_type == "Relu"), None)
    pool = next((node for node in inside.values() if node.op_type == "MaxPool"), None)
    doubled = pool is not None and rectified is None
    divisor = _HALF if doubled else 1.0
    constants = {tensor.name: tensor for tensor in graph.initializer}
    single = float(scale.factor) if scale.factor.ndim == 0 else 1.0
    for position, factor in ((1, single / divisor), (2, 1 / divisor)):
        if len(convolution.input) > position:
            tensor = constants[convolution.input[position]]
            values = numpy_helper.to_array(tensor).astype(np.float64) * factor
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    if pool is not None and rectified is not None:
        _pool_first(graph, pool, rectified)
    elif pool is not None:
        add_constant(exact, "twice", np.float32(_HALF))
        product = helper.make_node("Mul", ["", "twice"], [f"{pool.output[0]}_doubled"], name="double")
        _follow(graph, pool, product)
    for node in graph.node:
        node.input[:] = [f"{INPUT}_float" if name == INPUT else name for name in node.input]
    _insert_cast(exact, scale)
    replace_input(exact, spec)
    del graph.value_info[:]
    drop_unused(exact)
    onnx.checker.check_model(exact, full_check=True)
    return exact


def _insert_cast(model: ModelProto, scale: Scale) -> None:
    """Put a Cast at the input, with a Sub and a Mul behind it where the weights cannot do their work."""
    from onnx import TensorProto, helper

    made = [helper.make_node("Cast", [INPUT], [f"{INPUT}_cast"], name="cast", to=TensorProto.FLOAT)]
    if any(scale.mean):
        mean = np.array(scale.mean, np.float32)
        add_constant(model, "mean", mean[0] if len(set(scale.mean)) == 1 else mean)
        made.append(
            helper.make_node("Sub", [made[-1].output[0], "mean"], [f"{INPUT}_centred"], name="centre")
        )
    if scale.factor.ndim:
        add_constant(model, "factor", scale.factor)
        made.append(
            helper.make_node("Mul", [made[-1].output[0], "factor"], [f"{INPUT}_scaled"], name="scale")
        )
    made[-1].output[0] = f"{INPUT}_float"
    for position, node in enumerate(made):
        model.graph.node.insert(position, node)


def with_channels_last(model: ModelProto, pixels: str = INPUT) -> ModelProto:
    """Lay the integers behind a float stem channels last where a residual sum reads them.

    onnxruntime's int8 convolutions take channels last, and it turns what only they read. What a sum reads
    beside them it leaves as it is, and turns what the convolutions make back for it, up to the next pooling,
    which then takes six times as long.

    Args:
        model: quantised, with or without a float stem; with one and no such sum, or without one, it is
            returned as it is.
        pixels: what the stem begins with.
    """
    import onnx
    from onnx import helper

    node = only_consumer(model.graph, pixels)
    while node is not None and node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
        node = only_consumer(model.graph, node.output[0])
    if node is None or node.op_type != "QuantizeLinear":
        return model
    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    graph = turned.graph
    quantizer = next(other for other in graph.node if other.name == node.name)
    stem_end, levels = quantizer.input[0], quantizer.output[0]
    values = [other for other in graph.node if levels in other.input]
    readers = {other.op_type for value in values for other in graph.node if value.output[0] in other.input}
    shape = inferred_shapes(model).get(stem_end, [])
    if "Add" not in readers or len(shape) != len(_CHANNELS_LAST):
        return model
    channels, height, width = shape[1:]
    # To the shape that it has: else onnxruntime takes both Transposes out again.
    add_constant(turned, f"{stem_end}_shape", np.array([-1, height, width, channels], np.int64))
    last, kept = f"{stem_end}_last", f"{stem_end}_kept"
    before = [
        helper.make_node("Transpose", [stem_end], [last], name=last, perm=_CHANNELS_LAST),
        helper.make_node("Reshape", [last, f"{stem_end}_shape"], [kept], name=kept),
    ]
    quantizer.input[0] = kept
    made = list(graph.node)
    at = made.index(quantizer)
    made[at:at] = before
    for value in values:
        name, value.output[0] = value.output[0], f"{value.output[0]}_last"
        back = helper.make_node(
            "Transpose", [value.output[0]], [name], name=f"{name}_first", perm=_CHANNELS_FIRST
        )
        made.insert(made.index(value) + 1, back)
    del graph.node[:]
    graph.node.extend(made)
    del graph.value_info[:]
    onnx.checker.check_model(turned, full_check=True)
    return turned


def _follow(graph: Any, node: Any, after: Any) -> None:  # noqa: ANN401  # onnx ships no types for its messages
    """Put a node after another; it takes its place as the source of what was fed."""
    for consumer in graph.node:
        consumer.input[:] = [after.output[0] if name == node.output[0] else name for name in consumer.input]
    after.input[0] = node.output[0]
    graph.node.insert(list(graph.node).index(node) + 1, after)


def _pool_first(graph: Any, pool: Any, rectified: Any) -> None:  # noqa: ANN401
    """Swap a Relu and the MaxPool after it: the same values at lower cost.

    The Relu costs nothing: onnxruntime drops it last of all, as the zero of the QuantizeLinear does the same.
    """
    between, end = rectified.output[0], pool.output[0]
    pool.input[0], pool.output[0] = rectified.input[0], between
    rectified.input[0], rectified.output[0] = between, end
    nodes = [node for node in graph.node if node.name != pool.name]
    nodes.insert(nodes.index(rectified), pool)
    order = {node.name: index for index, node in enumerate(nodes)}
    graph.node.sort(key=lambda node: order[node.name])
