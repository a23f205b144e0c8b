"""Read the header of a PNG, and keep from OpenCV the chunks that make it decode wrongly."""

import struct
from collections.abc import Iterator

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import exif
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.status import Status

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_ANCILLARY = 0x20
"""Bit in the first letter of a chunk that a decoder may ignore (PNG, section 5.4)."""

_GREY, _ALPHA = 0, 4
"""The colour type of grey images, and the bit of those with an alpha channel."""


def read(data: bytes) -> Header:
    """Return the header of a PNG.

    Raises:
        InputError: the image is refused, with the status `unsupported`, `truncated` or `unreadable`.
    """
    if len(data) < 33:
        raise InputError(Status.TRUNCATED, "the PNG ends within its header: copy the file again")
    if data[12:16] == b"CgBI":
        raise InputError(
            Status.UNSUPPORTED,
            "a PNG of an iOS app is not supported: convert it with 'pngcrush -revert-iphone-optimizations'",
        )
    if data[12:16] != b"IHDR":
        raise InputError(Status.UNREADABLE, "the PNG does not begin with its header")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    has_alpha, orientation, transparent_grey = bool(colour & _ALPHA), exif.UPRIGHT, None
    for kind, start, stop in _chunks(data):
        if kind == b"tRNS":
            has_alpha = True
            if colour == _GREY and transparent_grey is None:
                transparent_grey = _decoded_grey(data[start + 8 : stop - 4], depth)
        elif kind == b"eXIf":
            orientation = exif.orientation(data[start + 8 : stop - 4])
        elif kind == b"IEND":
            return Header(ImageFormat.PNG, width, height, has_alpha, orientation, transparent_grey)
    raise InputError(
        Status.TRUNCATED, "the PNG ends before its end chunk, or a chunk claims more bytes than there are"
    )


def for_opencv(data: bytes) -> bytearray:
    """Return a PNG without the chunks that a decoder may ignore, other than transparency.

    OpenCV converts colours to grey in linear light if there is a gAMA, sRGB or iCCP chunk, and shows the
    first frame of an animation instead of the still image.
    """
    kept = bytearray(SIGNATURE)
    for kind, start, stop in _chunks(data):
        if not kind[0] & _ANCILLARY or kind == b"tRNS":
            kept += memoryview(data)[start:stop]
    return kept


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and end of each whole chunk, up to the end chunk."""
    position, kind = len(SIGNATURE), b""
    while position + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        start, position = position, position + 12 + length
        if position > len(data):
            return
        yield kind, start, position


def _decoded_grey(transparency: bytes, depth: int) -> int | None:
    """Return a transparent grey level as OpenCV decodes it: in 16 bits if the image has them, else in 8."""
    if len(transparency) < 2 or depth not in {1, 2, 4, 8, 16}:
        return None
    top: int = 2**depth - 1
    level = int.from_bytes(transparency[:2]) & top
    return level if depth >= 8 else level * 255 // top
