"""Read tables of an untrusted FlatBuffers file, every offset checked against its bytes."""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

_FIRST_FIELD = 4
_MAX_ENTRIES = 100_000


class FlatbufferError(ValueError):
    """An offset or a length that leads out of the file."""


class FlatTable:
    """A table of a FlatBuffers file; fields are numbered as in its schema, and absent ones have defaults."""

    def __init__(self, data: bytes, position: int) -> None:
        """Set up the table.

        Args:
            data: the whole file.
            position: of the table in it.
        """
        self._data = data
        self._position = position
        self._fields = position - _read(data, "<i", position)
        self._end = _read(data, "<H", self._fields)

    @classmethod
    def root(cls, data: bytes) -> "FlatTable":
        """Return the table that the file begins with."""
        return cls(data, _read(data, "<I", 0))

    def real(self, field: int, default: float = 0) -> float:
        """Return a float32 number."""
        place = self._place(field)
        return default if place is None else float(_read(self._data, "<f", place))

    def integer(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return an integer, `kind` as in `struct`."""
        place = self._place(field)
        return default if place is None else _read(self._data, f"<{kind}", place)

    def table(self, field: int) -> "FlatTable | None":
        """Return a table, None if there is none."""
        place = self._place(field)
        return None if place is None else FlatTable(self._data, self._target(place))

    def tables(self, field: int) -> Iterator["FlatTable"]:
        """Yield the tables of a vector."""
        start, count = self._vector(field, 4)
        if count > _MAX_ENTRIES:
            raise FlatbufferError(f"a list of {count:,} tables, expected at most {_MAX_ENTRIES:,}")
        for index in range(count):
            yield FlatTable(self._data, self._target(start + 4 * index))

    def array(self, field: int, dtype: DTypeLike) -> NDArray[np.generic]:
        """Return the numbers of a vector, without a copy."""
        kind = np.dtype(dtype).newbyteorder("<")
        start, count = self._vector(field, kind.itemsize)
        return np.frombuffer(self._data, kind, count, start)

    def integers(self, field: int) -> tuple[int, ...]:
        """Return the int32 numbers of a short vector."""
        values = self.array(field, np.int32)
        if len(values) > _MAX_ENTRIES:
            raise FlatbufferError(f"a list of {len(values):,} numbers, expected at most {_MAX_ENTRIES:,}")
        return tuple(int(value) for value in values)

    def text(self, field: int) -> str:
        """Return a string; bytes that are no UTF-8 are replaced."""
        return self.array(field, np.uint8).tobytes().decode(errors="replace")

    def has(self, field: int) -> bool:
        """Return whether the table has the field."""
        return self._place(field) is not None

    def _place(self, field: int) -> int | None:
        entry = _FIRST_FIELD + 2 * field
        if entry + 2 > self._end:
            return None
        offset = _read(self._data, "<H", self._fields + entry)
        return self._position + offset if offset else None

    def _target(self, place: int) -> int:
        return place + _read(self._data, "<I", place)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Return the position of a vector's first element, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self._target(place)
        count = _read(self._data, "<I", start)
        if start + 4 + count * size > len(self._data):
            raise FlatbufferError(f"a list of {count:,} elements at byte {start:,} of {len(self._data):,}")
        return start + 4, count


def _read(data: bytes, kind: str, position: int) -> int:
    if not 0 <= position <= len(data) - struct.calcsize(kind):
        raise FlatbufferError(f"an offset to byte {position:,} of {len(data):,}")
    value: int = struct.unpack_from(kind, data, position)[0]
    return value
