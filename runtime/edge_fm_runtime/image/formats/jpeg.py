"""Read the header of a JPEG as libjpeg does, which skips bytes that belong to no segment."""

import re
import struct

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import exif
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.status import Status

SIGNATURE = b"\xff\xd8\xff"

_MARKER = re.compile(rb"\xff[^\x00\xff]")
"""A marker; before it may be fill bytes, which are 0xff, and a byte 0xff followed by zero is none."""

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Baseline, extended and progressive frames, Huffman or arithmetic coded (ITU-T T.81, B.1.1.3)."""

_FOREIGN_FRAMES = {0xC3: "lossless JPEG", 0xCB: "lossless JPEG", 0xF7: "JPEG-LS"} | dict.fromkeys(
    (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "hierarchical JPEG"
)

_END, _SCAN, _EXIF = 0xD9, 0xDA, 0xE1

_LATE_HEIGHT = b"\xff\xdc\0\4"
"""The segment that defines the number of lines (ITU-T T.81, B.2.5)."""

_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}

_MAX_MARKERS = 10_000
"""Markers before the picture; photographs have some tens."""


def read(data: bytes) -> Header:
    """Return the header of a JPEG.

    Raises:
        InputError: the image is refused, with the status `unsupported`, `truncated` or `unreadable`.
    """
    position, orientation, markers = 2, 0, 0
    while found := _MARKER.search(data, position):
        markers += 1
        if markers > _MAX_MARKERS:
            break
        marker, position = data[found.end() - 1], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in _FOREIGN_FRAMES:
            raise _unsupported(_FOREIGN_FRAMES[marker])
        if marker in {_END, _SCAN}:
            raise InputError(Status.UNREADABLE, "the JPEG has no frame header")
        if position + 8 > len(data):
            position = len(data)
            break
        if marker in _FRAMES:
            return _frame(data, position, orientation or exif.UPRIGHT)
        length = max(2, struct.unpack_from(">H", data, position)[0])
        if marker == _EXIF and not orientation and data.startswith(exif.SIGNATURE, position + 2):
            orientation = exif.orientation(data[position + 2 : position + length])
        position += length
    if data[position:].strip(b"\xff"):
        raise InputError(Status.UNREADABLE, "the JPEG is damaged before its picture begins")
    raise InputError(Status.TRUNCATED, "the JPEG ends before its picture begins: copy the file again")


def _frame(data: bytes, position: int, orientation: int) -> Header:
    """Return the properties in the frame header at a position."""
    precision, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    if precision != 8:
        raise _unsupported(f"{precision}-bit JPEG")
    if components not in {1, 3, 4}:
        raise _unsupported(f"JPEG with {components} colour components")
    if height == 0 and _LATE_HEIGHT in data:
        raise _unsupported("JPEG that states its height after its first scan")
    return Header(ImageFormat.JPEG, width, height, has_alpha=False, orientation=orientation)


def _unsupported(kind: str) -> InputError:
    return InputError(Status.UNSUPPORTED, f"{kind} is not supported: convert it to PNG")
