"""Let a network that was trained on blue, green, red take red, green, blue."""

from typing import Any

import numpy as np

from edge_fm_exporters.graph.editing import ModelProto, add_constant, only_consumer, rewire
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_runtime.artifact.session import INPUT

_CHANNELS = 3
_RANK = 4
_AXIS = 3
"""Axis of the channels in the input."""


def in_rgb(model: ModelProto, scale: Scale) -> tuple[ModelProto, Scale]:
    """Return a graph that takes red, green, blue, and its scale; unchanged if it does so already.

    The input channels of the first convolution's weights are reversed, which costs nothing. Where the network
    begins otherwise, a Gather reverses the channels of the pixels.

    Args:
        model: cleaned graph with the float32 input `image`.
        scale: scale of the pixels that the graph leaves to its input.
    """
    if not scale.bgr:
        return model, scale
    import onnx

    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    convolution = _first_convolution(turned)
    if convolution is None:
        _insert_gather(turned)
    else:
        _reverse_weights(turned, convolution)
    return turned, scale.in_rgb()


def _first_convolution(model: ModelProto) -> Any:  # noqa: ANN401
    """Return the convolution of all channels that the input goes to; None if it goes elsewhere."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    node, axis = only_consumer(model.graph, INPUT), _AXIS
    while node is not None:
        if node.op_type == "Transpose":
            axis = list(node.attribute[0].ints).index(axis)
        elif node.op_type != "Pad" or not _keeps_channels(node, constants, axis):
            break
        node = only_consumer(model.graph, node.output[0])
    if node is None or node.op_type != "Conv" or node.input[1] not in constants:
        return None
    return node if constants[node.input[1]].dims[1] == _CHANNELS else None


def _keeps_channels(pad: Any, constants: dict[str, Any], axis: int) -> bool:  # noqa: ANN401
    """Return whether a Pad adds the same to every channel, and no channel."""
    from onnx import numpy_helper

    if pad.input[1] not in constants:
        return False
    amounts = numpy_helper.to_array(constants[pad.input[1]])
    return len(amounts) == 2 * _RANK and not amounts[axis] and not amounts[axis + _RANK]


def _reverse_weights(model: ModelProto, convolution: Any) -> None:  # noqa: ANN401
    from onnx import numpy_helper

    stored = next(tensor for tensor in model.graph.initializer if tensor.name == convolution.input[1])
    weights = numpy_helper.to_array(stored)[:, ::-1]
    name = f"{stored.name}_rgb"  # another node may read the old ones
    add_constant(model, name, np.ascontiguousarray(weights))
    convolution.input[1] = name
    if not any(stored.name in node.input for node in model.graph.node):
        model.graph.initializer.remove(stored)


def _insert_gather(model: ModelProto) -> None:
    from onnx import helper

    reversed_channels = f"{INPUT}_bgr"
    rewire(model, INPUT, reversed_channels)
    add_constant(model, "bgr", np.array([2, 1, 0], np.int64))
    node = helper.make_node(
        "Gather", [INPUT, "bgr"], [reversed_channels], name="reverse_channels", axis=_AXIS
    )
    model.graph.node.insert(0, node)
