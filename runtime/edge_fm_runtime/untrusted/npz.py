"""Read `.npz` files that a stranger may have made: arrays of plain types, limited in size."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.untrusted.zip_directory import open_zip

MAX_BYTES = 2**30
"""Limit on all arrays of a file in bytes; Fashion-MNIST has 55 MB."""

_SUFFIX = ".npy"


def read_arrays(
    source: Path | BinaryIO, names: Iterable[str] | None = None
) -> dict[str, NDArray[np.generic]]:
    """Return arrays by name.

    Args:
        source: path of a regular file, or a file that is open for reading.
        names: arrays to read; None for all.

    Raises:
        Exception: it is no such file, over the limit, or an array is missing, contradicts its header or holds
            objects; NumPy raises many kinds.
    """
    with open_zip(source, MAX_BYTES) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        found = names if names is not None else [name.removesuffix(_SUFFIX) for name in sizes]
        arrays = {}
        for name in found:
            if name + _SUFFIX not in sizes:
                raise KeyError(f"there is no array {name!r}")
            with archive.open(name + _SUFFIX) as member:
                _check_header(member, sizes[name + _SUFFIX], name)
            with archive.open(name + _SUFFIX) as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def _check_header(member: IO[bytes], size: int, name: str) -> None:
    """Refuse an array whose header says more or fewer bytes than it has."""
    version = np.lib.format.read_magic(member)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"the array {name!r} has the format {version}, expected one of {list(readers)}")
    shape, _, dtype = readers[version](member)
    if dtype.hasobject:
        raise ValueError(f"the array {name!r} holds objects, expected numbers or text")
    expected = member.tell() + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise ValueError(f"the array {name!r} has {size:,} bytes, and its header says {expected:,}")
