"""Write ONNX files, and append to them, without the onnx package: a plain install has none.

Field numbers are those of `onnx/onnx.proto`.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.protobuf import FIXED32, encode_bytes, encode_varint, fields

OPSET = 17
"""Version of the operators that are written."""

FLOAT, UINT8 = 1, 2
"""Numbers of element types."""

Shape = Sequence[int | str]
"""Lengths of a tensor's axes; a name stands for any length."""

Attribute = int | float | Sequence[int]

_IR_VERSION = 8
"""Version of the container, the newest that knows no more than `OPSET`."""

_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.uint8): UINT8, np.dtype(np.int64): 7}

_MODEL_IR, _MODEL_OPSET, _MODEL_GRAPH = 1, 8, 7
_OPSET_VERSION = 2
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS, _ATTRIBUTE_TYPE = 1, 2, 3, 8, 20
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 1, 2
_SHAPE_DIM, _DIM_VALUE, _DIM_NAME = 1, 1, 2


def node(operator: str, inputs: Iterable[str], output: str, **attributes: Attribute) -> bytes:
    """Return a node with one output, which is also its name; whole numbers are of 0 or more."""
    parts = [_text(_NODE_INPUT, name) for name in inputs]
    parts += [_text(_NODE_OUTPUT, output), _text(_NODE_NAME, output), _text(_NODE_OPERATOR, operator)]
    parts += [encode_bytes(_NODE_ATTRIBUTE, _attribute(name, value)) for name, value in attributes.items()]
    return b"".join(parts)


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """Return a constant: float32, int64 or uint8."""
    dims = b"".join(_number(_TENSOR_DIMS, length) for length in values.shape)
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    kind = _number(_TENSOR_TYPE, _TYPES[values.dtype])
    return dims + kind + _text(_TENSOR_NAME, name) + encode_bytes(_TENSOR_RAW, raw)


def value(name: str, element: int, shape: Shape) -> bytes:
    """Return the description of an input or output."""
    dims = [
        _number(_DIM_VALUE, length) if isinstance(length, int) else _text(_DIM_NAME, length)
        for length in shape
    ]
    shaped = encode_bytes(_TENSOR_SHAPE, b"".join(encode_bytes(_SHAPE_DIM, dim) for dim in dims))
    kind = encode_bytes(_TYPE_TENSOR, _number(_TENSOR_ELEMENT, element) + shaped)
    return _text(_VALUE_NAME, name) + encode_bytes(_VALUE_TYPE, kind)


def model(
    nodes: Iterable[bytes], constants: Mapping[str, NDArray[np.generic]], given: bytes, answer: bytes
) -> bytes:
    """Return a model.

    Args:
        nodes: made by `node`, in an order in which they can be computed.
        constants: by name.
        given: its input, made by `value`.
        answer: its output, made by `value`.
    """
    graph = [
        *_parts(nodes, constants),
        _text(_GRAPH_NAME, "network"),
        encode_bytes(_GRAPH_INPUT, given),
        encode_bytes(_GRAPH_OUTPUT, answer),
    ]
    opset = encode_bytes(_MODEL_OPSET, _number(_OPSET_VERSION, OPSET))
    return _number(_MODEL_IR, _IR_VERSION) + opset + encode_bytes(_MODEL_GRAPH, b"".join(graph))


def extended(
    data: bytes, nodes: Iterable[bytes], constants: Mapping[str, NDArray[np.generic]], answer: bytes
) -> bytes:
    """Return a model with more nodes behind its own, and another output in place of its own.

    Args:
        data: a whole model.
        nodes: made by `node`, which read what the model computes.
        constants: by name.
        answer: the new output, made by `value`.
    """
    added = b"".join([*_parts(nodes, constants), encode_bytes(_GRAPH_OUTPUT, answer)])
    parts = []
    for field in fields(data):
        if field.number == _MODEL_GRAPH:
            kept = [
                field.payload[own.start : own.end]
                for own in fields(field.payload)
                if own.number != _GRAPH_OUTPUT
            ]
            parts.append(encode_bytes(_MODEL_GRAPH, b"".join(kept) + added))
        else:
            parts.append(data[field.start : field.end])
    return b"".join(parts)


def _parts(nodes: Iterable[bytes], constants: Mapping[str, NDArray[np.generic]]) -> list[bytes]:
    """Return fields of a graph."""
    return [
        *(encode_bytes(_GRAPH_NODE, made) for made in nodes),
        *(encode_bytes(_GRAPH_INITIALIZER, tensor(name, values)) for name, values in constants.items()),
    ]


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        kind, body = 1, encode_varint(_ATTRIBUTE_FLOAT << 3 | FIXED32) + struct.pack("<f", value)
    elif isinstance(value, int):
        kind, body = 2, _number(_ATTRIBUTE_INT, value)
    else:
        kind, body = 7, b"".join(_number(_ATTRIBUTE_INTS, item) for item in value)
    return _text(_ATTRIBUTE_NAME, name) + body + _number(_ATTRIBUTE_TYPE, kind)


def _number(field: int, number: int) -> bytes:
    return encode_varint(field << 3) + encode_varint(number)


def _text(field: int, text: str) -> bytes:
    return encode_bytes(field, text.encode())
