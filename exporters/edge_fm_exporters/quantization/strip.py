"""Remove redundant names, duplicate constants and defaults from a quantised file.

The quantiser writes a zero for each channel of each weight and bias, where levels are counted from zero
anyway, and calls tensors `conv_4_weights_DequantizeLinear_Output` and the nodes between them much the same;
the converter says of each convolution that it has one group and is not dilated. In a network of 65 kB they
are more than a twentieth of it.
"""

from typing import Any

from edge_fm_exporters.graph.editing import AttributeProto, ModelProto

_SHORT = {
    "_QuantizeLinear_Output": "_levels",
    "_DequantizeLinear_Output": "_value",
    "_QuantizeLinear": "_quantize",
    "_DequantizeLinear": "_dequantize",
    "_weights_quantized": "_weights",
    "_quantized": "_int",
    "_zero_point": "_zero",
}
"""What the quantiser adds to names, and what says the same; longer ones first."""

_PLAIN = {"dilations": 1, "group": 1, "pads": 0, "strides": 1}
"""What a convolution does that says nothing of these, in each direction: https://onnx.ai/onnx/operators/onnx__Conv.html."""

_WITH_ZERO = 3
"""Inputs of a DequantizeLinear: levels, scale, and the level that stands for zero."""

_PAIRS = {"QuantizeLinear", "DequantizeLinear"}
"""Called as what they make is: their own names say nothing more."""


def strip_redundant(model: ModelProto) -> ModelProto:
    """Return an equivalent QDQ model without duplicate constants, long names, defaults and metadata.

    Args:
        model: as `quantize.quantize` makes it, with or without a uint8 input.
    """
    import onnx

    compact = onnx.ModelProto()
    compact.CopyFrom(model)
    graph = compact.graph
    _count_from_zero(graph)
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for constant in list(graph.initializer):
        values = onnx.numpy_helper.to_array(constant)
        own = _short(constant.name)
        names[constant.name] = kept.setdefault((constant.data_type, values.shape, values.tobytes()), own)
        if names[constant.name] == own:
            constant.name = own
        else:
            graph.initializer.remove(constant)
    for node in graph.node:
        if node.op_type == "Conv":
            required = [attribute for attribute in node.attribute if not _is_plain(attribute)]
            del node.attribute[:]
            node.attribute.extend(required)
        node.name = "" if node.op_type in _PAIRS else _short(node.name)
        node.input[:] = [names.get(name, _short(name)) for name in node.input]
        node.output[:] = [_short(name) for name in node.output]
    del graph.value_info[:]  # it has the names of before
    del compact.metadata_props[:]  # of the quantiser, which is done
    onnx.checker.check_model(compact, full_check=True)
    return compact


def _count_from_zero(graph: Any) -> None:  # noqa: ANN401  # onnx ships no types
    """Drop the zero points of 0 of convolutions, which ONNX's DequantizeLinear defaults to.

    Without those of a dense layer onnxruntime leaves it in float.
    """
    import onnx

    constants = {tensor.name: tensor for tensor in graph.initializer}
    held = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    for node in graph.node:
        if (
            node.op_type == "DequantizeLinear"
            and node.output[0] in held
            and len(node.input) == _WITH_ZERO
            and not onnx.numpy_helper.to_array(constants[node.input[2]]).any()
        ):
            del node.input[2]
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _is_plain(attribute: AttributeProto) -> bool:
    return set(attribute.ints or [attribute.i]) == {_PLAIN.get(attribute.name)}


def _short(name: str) -> str:
    for long, short in _SHORT.items():
        name = name.replace(long, short)
    return name
