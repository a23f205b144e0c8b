"""The graph of a `.tflite` file as data: its tensors and operators."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.tflite.flatbuffer import FlatTable


class Kind(IntEnum):
    """Operators that are converted, with their numbers in the schema of TensorFlow Lite."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    TANH = 28
    PAD = 34
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    STRIDED_SLICE = 45
    EXP = 47
    CAST = 53
    PRELU = 54
    MAXIMUM = 55
    MINIMUM = 57
    NEG = 59
    PADV2 = 60
    EXPAND_DIMS = 70
    SUM = 74
    SQRT = 75
    RSQRT = 76
    SHAPE = 77
    REDUCE_MAX = 82
    PACK = 83
    SQUARE = 92
    LEAKY_RELU = 98
    ABS = 101
    ELU = 111
    QUANTIZE = 114
    HARD_SWISH = 117


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        name: of it.
        shape: for one run; axes that a caller may change have a length of 1.
        signature: the same with -1 for axes that a caller may change.
        dtype: of its numbers.
        constant: its numbers as they are stored; None if it is computed.
        scale: of its quantisation, one for all or one for each index of `axis`; empty if it has none.
        zero_point: likewise.
        axis: that the scales belong to.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: type[np.generic]
    constant: NDArray[np.generic] | None
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int

    @property
    def is_quantized(self) -> bool:
        """Return whether its integers stand for real numbers."""
        return bool(len(self.scale)) and np.issubdtype(self.dtype, np.integer)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest of its integers."""
        info = np.iinfo(np.dtype(self.dtype).name)
        return int(info.min), int(info.max)

    def values(self) -> NDArray[np.generic]:
        """Return the numbers of a constant: float32 if they are real, else integers as stored."""
        stored = np.asarray(self.constant)
        if self.is_quantized:
            along = [1] * stored.ndim
            if len(self.scale) > 1:
                along[self.axis] = -1
            scale, zero = self.scale.reshape(along), self.zero_point.reshape(along)
            return np.asarray((stored.astype(np.float64) - zero) * scale, np.float32)
        return stored.astype(np.float32) if np.issubdtype(self.dtype, np.floating) else stored


@dataclass(frozen=True)
class Operator:
    """An operator: indices of the tensors that it reads (-1 for none) and writes, and its options."""

    kind: Kind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: FlatTable | None

    def option(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return an integer option by its number in the schema."""
        return default if self.options is None else self.options.integer(field, kind, default)


@dataclass(frozen=True)
class LiteModel:
    """The first graph of a `.tflite` file, one input and one output, in the order of computation."""

    path: Path
    data: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor
    input_index: int
    output_index: int

    @property
    def has_quantized_activations(self) -> bool:
        """Return whether integers stand for computed real numbers, not only for weights."""
        written = {index for operator in self.operators for index in operator.outputs}
        return any(self.tensors[index].is_quantized for index in written)

    @property
    def has_quantized_weights(self) -> bool:
        """Return whether integers stand for weights."""
        return any(tensor.is_quantized and tensor.constant is not None for tensor in self.tensors)
