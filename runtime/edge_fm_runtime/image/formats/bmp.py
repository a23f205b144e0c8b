"""Read the header of a BMP, and refuse the kinds that OpenCV decodes wrongly.

OpenCV decodes run-length encoded rows as stripes, ignores the colour masks of 32 bits per pixel, and takes
whatever is at the stated offset for pixels.
"""

import struct
from typing import NamedTuple

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.status import Status

SIGNATURE = b"BM"

_CORE = 12
"""Size in bytes of the oldest header, which has sizes in 16 bits and no compression."""

_LEAST_BYTES = 26
"""Bytes of the file header and the oldest header."""

_SIZES = {_CORE, 40, 52, 56, 64, 108, 124}
_WITH_MASKS, _WITH_ALPHA_MASK = {52, 56, 108, 124}, {56, 108, 124}
"""Headers that hold colour masks; after a header of 40 bytes they follow it."""

_PLAIN, _MASKED = 0, 3
"""Values of the compression: none, and none with colour masks."""

_COMPRESSIONS = {_PLAIN: "no compression", 1: "RLE8", 2: "RLE4", _MASKED: "colour masks of this kind"}

_PALETTE_BITS = 8
_PLAIN_BITS = {1, 4, 8, 24, 32}

_MASKS = (0xFF0000, 0xFF00, 0xFF)
"""The masks of red, green and blue that OpenCV assumes."""


class _Fields(NamedTuple):
    """The fields of the header that say how pixels are stored."""

    size: int
    width: int
    height: int
    bits: int
    compression: int


def read(data: bytes) -> Header:
    """Return the header of a BMP.

    Raises:
        InputError: the image is refused, with the status `unsupported`, `truncated` or `unreadable`.
    """
    fields = _fields(data)
    if fields.width < 0:
        raise InputError(Status.UNREADABLE, f"a BMP of {fields.width} x {fields.height} pixels")
    is_plain = fields.compression == _PLAIN and fields.bits in _PLAIN_BITS
    if not is_plain and not _has_known_masks(data, fields):
        compression = _COMPRESSIONS.get(fields.compression, f"compression {fields.compression}")
        raise _unsupported(f"of {fields.bits} bits per pixel with {compression}")
    offset = struct.unpack_from("<I", data, 10)[0]
    masks = 12 if fields.compression == _MASKED and fields.size not in _WITH_MASKS else 0
    first_palette_entry = 1 if fields.bits <= _PALETTE_BITS else 0
    if offset < 14 + fields.size + masks + first_palette_entry:
        raise _unsupported(f"with pixels at byte {offset}, inside its header,")
    row = (fields.width * fields.bits + 31) // 32 * 4
    if offset + row * abs(fields.height) > len(data):
        raise InputError(Status.TRUNCATED, "the BMP ends before its last row: copy the file again")
    has_alpha = fields.compression == _MASKED and fields.size in _WITH_ALPHA_MASK and _alpha_mask(data) != 0
    return Header(ImageFormat.BMP, fields.width, abs(fields.height), has_alpha)


def _fields(data: bytes) -> _Fields:
    size = struct.unpack_from("<I", data, 14)[0] if len(data) >= _LEAST_BYTES else 0
    if len(data) < max(_LEAST_BYTES, 14 + min(size, max(_SIZES))):
        raise InputError(Status.TRUNCATED, "the BMP ends within its header: copy the file again")
    if not _CORE <= size <= max(_SIZES):
        raise InputError(Status.UNREADABLE, f"the BMP is damaged: its header claims {size:,} bytes")
    if size not in _SIZES:
        raise _unsupported(f"with a header of {size} bytes")
    if size == _CORE:
        width, height, _planes, bits = struct.unpack_from("<HHHH", data, 18)
        return _Fields(size, width, height, bits, _PLAIN)
    width, height, _planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    return _Fields(size, width, height, bits, compression)


def _has_known_masks(data: bytes, fields: _Fields) -> bool:
    """Return whether the pixels have 32 bits, and masks in the order that OpenCV assumes."""
    if (fields.bits, fields.compression) != (32, _MASKED) or fields.size not in _WITH_MASKS | {40}:
        return False
    masks = struct.unpack("<III", data[54:66].ljust(12, b"\0"))
    return masks == _MASKS and (fields.size not in _WITH_ALPHA_MASK or _alpha_mask(data) in {0, 0xFF000000})


def _alpha_mask(data: bytes) -> int:
    return int.from_bytes(data[66:70], "little")


def _unsupported(kind: str) -> InputError:
    return InputError(Status.UNSUPPORTED, f"BMP {kind} is not supported: convert it to PNG")
