"""Which way up a picture is: EXIF's orientation tag."""

import struct

UPRIGHT = 1

SIGNATURE = b"Exif\0\0"
"""What an EXIF block in a JPEG begins with."""


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, that a TIFF-formed EXIF block states (EXIF 2.32, tag 0x0112); 1 if none."""
    block = block.removeprefix(SIGNATURE)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is not None:
            start = struct.unpack_from(f"{order}I", block, 4)[0]
            for index in range(struct.unpack_from(f"{order}H", block, start)[0]):
                tag, _kind, _count, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * index)
                if tag == 0x0112 and 1 <= value <= 8:  # noqa: PLR2004
                    return int(value)
    except struct.error:
        pass  # a broken block states nothing, as in OpenCV
    return UPRIGHT


def lies(stated: int) -> bool:
    """Return whether a picture of this orientation is stored lying on its side."""
    return stated >= 5  # noqa: PLR2004


def reversed_axes(stated: int) -> tuple[bool, bool]:
    """Return whether a turned picture's rows and columns run against those that were stored."""
    return stated in {3, 4, 7, 8}, stated in {2, 3, 6, 7}
