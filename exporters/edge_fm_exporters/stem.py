"""The first convolution left in float, at the speed that it has there (docs/decisions/0003-int8-recipe.md).

With one input channel a convolution is dearer in int8 than in float. Left in float naively the whole gets slower still:
onnxruntime moves the QuantizeLinear that follows up through the pooling, which then runs in int8 in the wrong layout, and
quantises the convolution after all if a DequantizeLinear feeds it.
"""

from typing import Any

import numpy as np

from edge_fm_exporters.graph import ModelProto, add_constant, drop_unused, only_consumer, replace_input
from edge_fm_exporters.scale import Scale
from edge_fm_runtime.passport import InputSpec
from edge_fm_runtime.session import INPUT

_SHAPING = {"Reshape", "Transpose"}
_HALF = 2.0
"""The stem computes halves and a product doubles them, which is exact, and stops the QuantizeLinear on its way up."""


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
    last = inside[stem[-1]]
    pooled = last.op_type == "MaxPool"
    divisor = _HALF if pooled else 1.0
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for position, factor in ((1, float(scale.factor) / divisor), (2, 1 / divisor)):
        if len(convolution.input) > position:
            tensor = constants[convolution.input[position]]
            values = numpy_helper.to_array(tensor).astype(np.float64) * factor
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    if pooled:
        add_constant(exact, "twice", np.float32(_HALF))
        doubled = f"{last.output[0]}_doubled"
        for node in graph.node:
            node.input[:] = [doubled if name == last.output[0] else name for name in node.input]
        product = helper.make_node("Mul", [last.output[0], "twice"], [doubled], name="double")
        graph.node.insert(list(graph.node).index(last) + 1, product)
    for node in graph.node:
        node.input[:] = [f"{INPUT}_float" if name == INPUT else name for name in node.input]
    cast = helper.make_node("Cast", [INPUT], [f"{INPUT}_float"], name="cast", to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, cast)
    replace_input(exact, spec)
    del graph.value_info[:]
    drop_unused(exact)
    onnx.checker.check_model(exact, full_check=True)
    return exact
