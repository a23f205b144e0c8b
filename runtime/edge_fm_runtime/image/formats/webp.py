"""Read the header of a WebP."""

import struct

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import exif
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.status import Status

_HEADER_BYTES = {b"VP8X": 30, b"VP8L": 25, b"VP8 ": 30}
"""Bytes up to the end of the size in pixels, for each kind of first chunk."""

_OPENCV_BYTES = 32
"""Fewer bytes than this are no WebP for OpenCV, though a whole one may have 28."""


def is_webp(data: bytes) -> bool:
    """Return whether the bytes have the signature of a WebP."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def read(data: bytes) -> Header:
    """Return the header of a WebP.

    Raises:
        InputError: the image is refused, with the status `truncated` or `unreadable`.
    """
    kind = data[12:16]
    if len(data) < _HEADER_BYTES.get(kind, 16):
        raise InputError(Status.TRUNCATED, "the WebP ends within its header: copy the file again")
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise InputError(
            Status.TRUNCATED, "the WebP file is shorter than its header states: copy the file again"
        )
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return Header(ImageFormat.WEBP, width, height, bool(data[20] & 0x10), _orientation(data))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header(ImageFormat.WEBP, 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(ImageFormat.WEBP, width & 0x3FFF, height & 0x3FFF, has_alpha=False)
    raise InputError(Status.UNREADABLE, "the WebP has no picture")


def for_opencv(data: bytes) -> bytes:
    """Return a WebP with as many bytes as OpenCV expects; decoders ignore those after its end."""
    return data.ljust(_OPENCV_BYTES, b"\0")


def _orientation(data: bytes) -> int:
    """Return the orientation in the EXIF chunk that an extended WebP announces, upright if there is none."""
    if not data[20] & 0x08:
        return exif.UPRIGHT
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return exif.orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return exif.UPRIGHT
