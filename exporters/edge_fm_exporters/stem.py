"""The first convolution left in float, at the speed that it has there (docs/decisions/0003-int8-recipe.md).

With one input channel a convolution is dearer in int8 than in float. Left in float naively the whole gets slower still:
onnxruntime moves the QuantizeLinear that follows up through the pooling, which then runs in int8 in the wrong layout, and
quantises the convolution after all if a DequantizeLinear feeds it.
"""

from typing import Any

import numpy as np

from edge_fm_exporters.graph import ModelProto, add_constant, drop_unused, only_consumer, replace_input
from edge_fm_exporters.scale import Scale
from edge_fm_runtime.inputs import InputSpec
from edge_fm_runtime.session import INPUT

_SHAPING = {"Reshape", "Transpose"}
_HALF = 2.0
"""Without a Relu the stem computes halves and a product doubles them: exact, and no QuantizeLinear gets past it."""


def nodes(model: ModelProto) -> tuple[str, ...]:
    """Return the names of the nodes from the input to the first pooling; none if there is no such convolution.

    The stem is a convolution of one channel, what shapes its input, its Relu and its MaxPool.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    found: list[Any] = []
    node = only_consumer(graph, INPUT)
    while node is not None and node.op_type in _SHAPING:
        found.append(node)
        node = only_consumer(graph, node.output[0])
    if (
        node is None
        or node.op_type != "Conv"
        or node.input[1] not in weights
        or weights[node.input[1]].dims[1] != 1
    ):
        return ()
    found.append(node)
    for kind in ("Relu", "MaxPool"):
        after = only_consumer(graph, found[-1].output[0])
        if after is not None and after.op_type == kind:
            found.append(after)
    return tuple(node.name for node in found)


def with_uint8_input(model: ModelProto, stem: tuple[str, ...], spec: InputSpec, scale: Scale) -> ModelProto:
    """Return a quantised model with a float stem, its input made uint8: cast, scaled by the convolution's own weights.

    Args:
        model: quantised but for the stem, float32 input.
        stem: what `nodes` said.
        spec: of the input.
        scale: of the pixels; a plain one.
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
    for position, factor in ((1, float(scale.factor) / divisor), (2, 1 / divisor)):
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
    cast = helper.make_node("Cast", [INPUT], [f"{INPUT}_float"], name="cast", to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, cast)
    replace_input(exact, spec)
    del graph.value_info[:]
    drop_unused(exact)
    onnx.checker.check_model(exact, full_check=True)
    return exact


def _follow(graph: Any, node: Any, after: Any) -> None:  # noqa: ANN401  # onnx ships no types for its messages
    """Put a node after another; it takes its place as the source of what was fed."""
    for consumer in graph.node:
        consumer.input[:] = [after.output[0] if name == node.output[0] else name for name in consumer.input]
    after.input[0] = node.output[0]
    graph.node.insert(list(graph.node).index(node) + 1, after)


def _pool_first(graph: Any, pool: Any, rectified: Any) -> None:  # noqa: ANN401
    """Exchange a Relu and the MaxPool after it: the same values for less, and no QuantizeLinear gets past a Relu.

    The Relu costs nothing: onnxruntime drops it last of all, as the zero of the QuantizeLinear does the same.
    """
    between, end = rectified.output[0], pool.output[0]
    pool.input[0], pool.output[0] = rectified.input[0], between
    rectified.input[0], rectified.output[0] = between, end
    nodes = [node for node in graph.node if node.name != pool.name]
    nodes.insert(nodes.index(rectified), pool)
    order = {node.name: index for index, node in enumerate(nodes)}
    graph.node.sort(key=lambda node: order[node.name])
