"""Small `.tflite` files, built field by field, whole and damaged."""

from typing import Any

import numpy as np

Fields = dict[int, Any]
"""A table of the schema: fields by number; numbers are (kind, value), kinds as in FlatBuffers' builder."""

RESHAPE, DENSE, SOFTMAX = 22, 9, 25
FLOAT, INT32 = 0, 2


def build(fields: Fields) -> bytes:
    """Return the file whose first table has these fields."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, fields), file_identifier=b"TFL3")
    return bytes(builder.Output())


def number(value: int) -> tuple[str, int]:
    """Return an int32 field."""
    return ("Int32", value)


def tensor(shape: tuple[int, ...], buffer: int = 0, kind: int = FLOAT, **extra: Any) -> Fields:
    """Return a tensor; `quantization` and `signature` are its tables of these names."""
    fields: Fields = {0: np.array(shape, np.int32), 1: ("Int8", kind), 2: ("Uint32", buffer), 3: "tensor"}
    if "quantization" in extra:
        fields[4] = extra["quantization"]
    if "signature" in extra:
        fields[7] = np.array(extra["signature"], np.int32)
    return fields


def quantization(scale: list[float], zero_point: list[int], axis: int = 0) -> Fields:
    """Return a tensor's quantisation."""
    return {2: np.array(scale, np.float32), 3: np.array(zero_point, np.int64), 6: number(axis)}


def operator(
    code: int, inputs: list[int], output: int, options: Fields | None = None, options_type: int = 0
) -> Fields:
    """Return an operator by the index of its kind; its options are the table of this type."""
    fields: Fields = {
        0: ("Uint32", code),
        1: np.array(inputs, np.int32),
        2: np.array([output], np.int32),
    }
    return fields if options is None else {**fields, 3: ("Uint8", options_type), 4: options}


def classifier() -> Fields:
    """Return a file that flattens grey images of 8x8 and has a dense layer of three classes."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 64)).astype(np.float32)
    graph: Fields = {
        0: [
            tensor((1, 8, 8, 1), signature=(-1, 8, 8, 1)),
            tensor((2,), 1, INT32),
            tensor((1, 64)),
            tensor((3, 64), 2),
            tensor((3,), 3),
            tensor((1, 3)),
            tensor((1, 3)),
        ],
        1: np.array([0], np.int32),
        2: np.array([6], np.int32),
        3: [
            operator(0, [0, 1], 2),
            operator(1, [2, 3, 4], 5),
            operator(2, [5], 6, {0: ("Float32", 1.0)}, 9),
        ],
    }
    buffers = [
        b"",
        np.array([-1, 64], np.int32).tobytes(),
        weights.tobytes(),
        np.ones(3, np.float32).tobytes(),
    ]
    return {
        0: ("Uint32", 3),
        1: [{0: ("Int8", code), 3: number(code)} for code in (RESHAPE, DENSE, SOFTMAX)],
        2: [graph],
        4: [{0: np.frombuffer(data, np.uint8)} if data else {} for data in buffers],
    }


def graph_of(file: Fields) -> Fields:
    """Return the graph of a file, to change it."""
    graph: Fields = file[2][0]
    return graph


def _table(builder: Any, fields: Fields) -> int:
    offsets = {
        slot: _offset(builder, value) for slot, value in fields.items() if not isinstance(value, tuple)
    }
    builder.StartObject(max(fields, default=0) + 1)
    for slot, value in fields.items():
        if isinstance(value, tuple):
            getattr(builder, f"Prepend{value[0]}Slot")(slot, value[1], None)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return int(builder.EndObject())


def _offset(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, dict):
        return _table(builder, value)
    tables = [_table(builder, item) for item in value]
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
