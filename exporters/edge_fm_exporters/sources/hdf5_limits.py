"""Check an HDF5 file before Keras reads it: sizes as declared, and nothing that leads elsewhere."""

import math
from typing import Any, BinaryIO

_MAX_OBJECTS = 50_000
_MAX_DEPTH = 32
_MAX_NAMES = 10_000
_MAX_ATTRIBUTE_BYTES = 16 * 2**20


def check_hdf5(file: BinaryIO, max_bytes: int) -> None:
    """Refuse an HDF5 file that unpacks to more than a limit, refers to other files, or goes in circles.

    Args:
        file: open for reading.
        max_bytes: limit on all its arrays and attributes, unpacked.

    Raises:
        ValueError: it is refused.
        Exception: it is no whole HDF5 file; h5py raises many kinds.
    """
    import h5py

    with h5py.File(file, "r") as opened:
        _Walk(max_bytes).group(opened, 0)


class _Walk:
    """Visits every object once, and sums up what they declare."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._seen: set[Any] = set()
        self._objects = 0

    def group(self, group: Any, depth: int) -> None:  # noqa: ANN401  # h5py ships no types
        """Check a group, its attributes and what it holds."""
        import h5py

        if depth > _MAX_DEPTH:
            raise ValueError(f"it nests groups more than {_MAX_DEPTH} deep")
        self._attributes(group)
        for name in group:
            self._objects += 1
            if self._objects > _MAX_OBJECTS:
                raise ValueError(f"it has over {_MAX_OBJECTS:,} arrays and groups")
            is_link = not isinstance(group.get(name, getlink=True), h5py.HardLink)
            if is_link:
                raise ValueError(f"{name!r:.60} is a link, which may lead out of the file")
            entry = group[name]
            address = h5py.h5o.get_info(entry.id).addr
            if address in self._seen:
                raise ValueError(f"{name!r:.60} is an object that has another name too")
            self._seen.add(address)
            if isinstance(entry, h5py.Group):
                self.group(entry, depth + 1)
            elif isinstance(entry, h5py.Dataset):
                self._dataset(entry)

    def _dataset(self, dataset: Any) -> None:  # noqa: ANN401
        self._attributes(dataset)
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"the array {dataset.name!r:.60} is kept in other files")
        if dataset.dtype.hasobject:
            raise ValueError(f"the array {dataset.name!r:.60} holds {dataset.dtype}, expected numbers")
        self._add(math.prod(dataset.shape or ()) * dataset.dtype.itemsize)

    def _attributes(self, owner: Any) -> None:  # noqa: ANN401
        """Check attributes without reading them: long strings of a list may be one and the same."""
        import h5py

        for name in owner.attrs:
            attribute = owner.attrs.get_id(name)
            count = math.prod(attribute.shape or ())
            is_text = h5py.check_string_dtype(attribute.dtype) is not None
            if attribute.dtype.hasobject and not is_text:
                raise ValueError(
                    f"the attribute {name!r:.60} refers to other objects, expected text or numbers"
                )
            if attribute.dtype.hasobject and count > _MAX_NAMES:
                raise ValueError(
                    f"the attribute {name!r:.60} lists {count:,} names, the limit is {_MAX_NAMES:,}"
                )
            size = count * attribute.dtype.itemsize
            if size > _MAX_ATTRIBUTE_BYTES:
                raise ValueError(f"the attribute {name!r:.60} has {size:,} bytes")
            self._add(size)

    def _add(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ValueError(f"its arrays have over {self._max_bytes:,} bytes")
