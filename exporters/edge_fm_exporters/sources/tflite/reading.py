"""Read a `.tflite` file as data, without TensorFlow, and refuse what is damaged or not converted."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.tflite.flatbuffer import FlatbufferError, FlatTable
from edge_fm_exporters.sources.tflite.model import Kind, LiteModel, Operator, Tensor
from edge_fm_runtime.errors import ModelError

MAX_BYTES = 2**29
"""Largest file; classifiers for devices have up to a fifth."""

_MAX_TENSORS = 20_000
_MAX_OPERANDS = 64
_MAX_ELEMENTS = 2**28
_MAX_RANK = 8
_CUSTOM = 32
_NAMES = {
    _CUSTOM: "a custom operator",
    7: "EMBEDDING_LOOKUP",
    16: "LSTM",
    23: "RESIZE_BILINEAR",
    24: "RNN",
    35: "UNIDIRECTIONAL_SEQUENCE_RNN",
    36: "GATHER",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM",
    67: "TRANSPOSE_CONV",
    97: "RESIZE_NEAREST_NEIGHBOR",
    118: "IF",
    119: "WHILE",
    120: "NON_MAX_SUPPRESSION_V4",
    121: "NON_MAX_SUPPRESSION_V5",
    126: "BATCH_MATMUL",
    129: "CALL_ONCE",
    142: "VAR_HANDLE",
    143: "READ_VARIABLE",
}
"""Operators that files have and no classifier of pictures that this converts, for messages."""

_OPTIONS = {
    Kind.CONV_2D: 1,
    Kind.DEPTHWISE_CONV_2D: 2,
    Kind.AVERAGE_POOL_2D: 5,
    Kind.MAX_POOL_2D: 5,
    Kind.FULLY_CONNECTED: 8,
    Kind.SOFTMAX: 9,
    Kind.CONCATENATION: 10,
    Kind.ADD: 11,
    Kind.RESHAPE: 17,
    Kind.MUL: 21,
    Kind.MEAN: 27,
    Kind.SUM: 27,
    Kind.REDUCE_MAX: 27,
    Kind.SUB: 28,
    Kind.DIV: 29,
    Kind.SQUEEZE: 30,
    Kind.STRIDED_SLICE: 32,
    Kind.PACK: 59,
    Kind.LEAKY_RELU: 75,
}
"""Number of the table with the options of each kind whose options are read."""

_TYPES: dict[int, type[np.generic]] = {
    0: np.float32,
    1: np.float16,
    2: np.int32,
    3: np.uint8,
    4: np.int64,
    6: np.bool_,
    7: np.int16,
    9: np.int8,
}


def read(path: Path) -> LiteModel:
    """Read a `.tflite` file.

    Raises:
        ModelError: it is damaged, has an operator that is not converted, or several inputs or outputs.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,}")
    data = path.read_bytes()
    try:
        return _model(path, data)
    except (FlatbufferError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{path} is no whole .tflite file ({error}): download or convert it again"
        ) from error


def _model(path: Path, data: bytes) -> LiteModel:
    root = FlatTable.root(data)
    graph = next(root.tables(2), None)
    if graph is None:
        raise FlatbufferError("no graph")
    kinds = tuple(_code(code) for code in root.tables(1))
    operators = tuple(_operator(path, table, kinds) for table in graph.tables(3))
    ends = graph.integers(1), graph.integers(2)
    buffers = tuple(root.tables(4))
    tensors = tuple(_tensor(table, buffers) for table in graph.tables(0))
    if len(tensors) > _MAX_TENSORS or len(operators) > _MAX_TENSORS:
        raise FlatbufferError(f"{len(tensors):,} tensors, expected at most {_MAX_TENSORS:,}")
    for index in (*ends[0], *ends[1], *(i for operator in operators for i in operator.outputs)):
        _check_index(index, tensors, least=0)
    for index in (i for operator in operators for i in operator.inputs):
        _check_index(index, tensors, least=-1)
    _check_ends(path, tensors, *ends)
    _check_order(operators, tensors, ends[0][0])
    return LiteModel(
        path=path,
        data=data,
        tensors=tensors,
        operators=operators,
        input=tensors[ends[0][0]],
        output=tensors[ends[1][0]],
        input_index=ends[0][0],
        output_index=ends[1][0],
    )


def _code(table: FlatTable) -> tuple[int, str]:
    """Return the number of an operator, and its name if it is a custom one; old files have a short number."""
    return max(table.integer(0, "b"), table.integer(3)), table.text(1)


def _operator(path: Path, table: FlatTable, kinds: tuple[tuple[int, str], ...]) -> Operator:
    index = table.integer(0, "I")
    if index >= len(kinds):
        raise FlatbufferError(f"an operator of kind {index:,}, expected under {len(kinds):,}")
    number, custom = kinds[index]
    if number not in set(Kind):
        name = _NAMES.get(number, f"the operator {number} of TensorFlow Lite's schema")
        raise ModelError(
            f"{path} computes {name + (f' {custom!r:.60}' if custom else '')}, which is not converted: expected a "
            "classifier of convolutions, pooling and dense layers; give the Keras model or the SavedModel that it was "
            "converted from"
        )
    inputs, outputs = table.integers(1), table.integers(2)
    if len(inputs) > _MAX_OPERANDS or not inputs or len(outputs) != 1:
        raise FlatbufferError(f"a {Kind(number).name} of {len(inputs)} inputs and {len(outputs)} outputs")
    kind, options = Kind(number), table.table(4)
    if options is not None and table.integer(3, "B") != _OPTIONS.get(kind, table.integer(3, "B")):
        raise FlatbufferError(f"a {kind.name} with the options of another operator")
    return Operator(kind, inputs, outputs, options)


def _tensor(table: FlatTable, buffers: tuple[FlatTable, ...]) -> Tensor:
    name, shape = table.text(3), table.integers(0)
    number, buffer = table.integer(1, "b"), table.integer(2, "I")
    if number not in _TYPES:
        raise FlatbufferError(f"the tensor {name!r:.80} of type {number}, expected float, int8 or integer")
    if len(shape) > _MAX_RANK or any(length < 0 for length in shape) or math.prod(shape) > _MAX_ELEMENTS:
        raise FlatbufferError(f"the tensor {name!r:.80} of shape {shape[:_MAX_RANK]}")
    if table.has(6):
        raise FlatbufferError(f"the tensor {name!r:.80} is sparse, which is not read")
    if buffer >= len(buffers):
        raise FlatbufferError(f"the tensor {name!r:.80} in buffer {buffer:,} of {len(buffers):,}")
    if buffers[buffer].integer(1, "Q") > 1:
        raise FlatbufferError(f"the tensor {name!r:.80} lies outside the flatbuffer, which is not read")
    signature = table.integers(7)
    dtype = _TYPES[number]
    scale, zero_point, axis = _quantization(table.table(4), shape)
    return Tensor(
        name=name,
        shape=shape,
        signature=signature if len(signature) == len(shape) else shape,
        dtype=dtype,
        constant=_constant(buffers[buffer], name, shape, dtype),
        scale=scale,
        zero_point=zero_point,
        axis=axis,
    )


def _constant(
    buffer: FlatTable, name: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> NDArray[np.generic] | None:
    stored = buffer.array(0, np.uint8)
    if not len(stored):
        return None
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if len(stored) != expected:
        raise FlatbufferError(f"the tensor {name!r:.80} has {len(stored):,} bytes, expected {expected:,}")
    return stored.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _quantization(
    table: FlatTable | None, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Return scales, zero points and their axis; empty if the tensor has none."""
    if table is None:
        return np.empty(0, np.float32), np.empty(0, np.int64), 0
    scale = np.asarray(table.array(2, np.float32), np.float32)
    zero_point = np.asarray(table.array(3, np.int64), np.int64)
    axis = table.integer(6)
    if not len(zero_point):
        zero_point = np.zeros(len(scale), np.int64)
    if len(scale) != len(zero_point):
        raise FlatbufferError(f"{len(scale):,} scales with {len(zero_point):,} zero points")
    if len(scale) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scale)):
        raise FlatbufferError(f"{len(scale):,} scales for axis {axis} of {shape}")
    if not np.isfinite(scale).all() or (scale < 0).any():
        raise FlatbufferError("a scale that is negative or no number")
    return scale, zero_point, axis


def _check_index(index: int, tensors: tuple[Tensor, ...], least: int) -> None:
    if not least <= index < len(tensors):
        raise FlatbufferError(f"the tensor {index:,} of {len(tensors):,}")


def _check_ends(
    path: Path, tensors: tuple[Tensor, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    if len(inputs) != 1 or len(outputs) != 1:
        shapes = (", ".join(str(tensors[index].signature) for index in end[:8]) for end in (inputs, outputs))
        raise ModelError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs ({' to '.join(shapes)}), expected one of each: "
            "images in, class probabilities out"
        )


def _check_order(operators: tuple[Operator, ...], tensors: tuple[Tensor, ...], start: int) -> None:
    """Check that each operator reads only constants and what was written before, and none writes twice."""
    known = {start}
    for operator in operators:
        for index in operator.inputs:
            if index >= 0 and index not in known and tensors[index].constant is None:
                raise FlatbufferError(f"a {operator.kind.name} reads a tensor that nothing has written")
        for index in operator.outputs:
            if index in known or tensors[index].constant is not None:
                raise FlatbufferError(f"a {operator.kind.name} writes a tensor that is there already")
            known.add(index)
