"""Take the bytes out of a quantised file that say nothing: long names, constants that it holds several times, and what is so anyway.

The quantiser writes a zero for each channel of each weight and bias, and calls tensors `conv_4_weights_DequantizeLinear_Output`; the converter
says of each convolution that it has one group and is not dilated. In a network of 65 kB they are more than a twentieth of it.
"""

from edge_fm_exporters.graph import AttributeProto, ModelProto

_SHORT = {
    "_QuantizeLinear_Output": "_levels",
    "_DequantizeLinear_Output": "_value",
    "_QuantizeLinear": "_quantize",
    "_DequantizeLinear": "_dequantize",
    "_quantized": "_int",
    "_zero_point": "_zero",
}
"""What the quantiser adds to names, and what says the same; longer ones first."""

_PLAIN = {"dilations": 1, "group": 1, "pads": 0, "strides": 1}
"""What a convolution does that says nothing of these, in each direction: https://onnx.ai/onnx/operators/onnx__Conv.html."""


def compacted(model: ModelProto) -> ModelProto:
    """Return a QDQ model that computes the same, with constants held once, short names for what the quantiser added, and no notes of its own.

    Args:
        model: as `quantize.quantize` makes it, with or without a uint8 input.
    """
    import onnx

    compact = onnx.ModelProto()
    compact.CopyFrom(model)
    graph = compact.graph
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
            told = [attribute for attribute in node.attribute if not _is_plain(attribute)]
            del node.attribute[:]
            node.attribute.extend(told)
        node.name = _short(node.name)
        node.input[:] = [names.get(name, _short(name)) for name in node.input]
        node.output[:] = [_short(name) for name in node.output]
    del graph.value_info[:]  # it has the names of before
    del compact.metadata_props[:]  # of the quantiser, which is done
    onnx.checker.check_model(compact, full_check=True)
    return compact


def _is_plain(attribute: AttributeProto) -> bool:
    return set(attribute.ints or [attribute.i]) == {_PLAIN.get(attribute.name)}


def _short(name: str) -> str:
    for long, short in _SHORT.items():
        name = name.replace(long, short)
    return name
