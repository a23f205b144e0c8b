"""Read the orientation tag of EXIF metadata."""

import struct

UPRIGHT = 1

_ORIENTATION = 0x0112

_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""Integer types of an entry, and their codes in `struct` (TIFF 6.0, section 2)."""

SIGNATURE = b"Exif\0\0"
"""Prefix of an EXIF block in a JPEG; many programs write it into PNG and WebP files too."""


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, in an EXIF block (EXIF 2.32, tag 0x0112); 1 if it has none.

    Of several values the first counts, as in Pillow.
    """
    block = block.removeprefix(SIGNATURE)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is not None:
            start = struct.unpack_from(f"{order}I", block, 4)[0]
            for index in range(struct.unpack_from(f"{order}H", block, start)[0]):
                entry = start + 2 + 12 * index
                tag, kind, count = struct.unpack_from(f"{order}HHI", block, entry)
                if tag == _ORIENTATION and kind in _INTEGERS and count:
                    code = order + _INTEGERS[kind]
                    is_inline = count * struct.calcsize(code) <= 4  # noqa: PLR2004
                    at = entry + 8 if is_inline else struct.unpack_from(f"{order}I", block, entry + 8)[0]
                    value = int(struct.unpack_from(code, block, at)[0])
                    return value if 1 <= value <= 8 else UPRIGHT  # noqa: PLR2004
    except struct.error:
        pass  # a broken block is ignored
    return UPRIGHT


def is_sideways(orientation: int) -> bool:
    """Return whether an image with this orientation is stored on its side, rows as columns."""
    return orientation >= 5  # noqa: PLR2004


def reversed_axes(orientation: int) -> tuple[bool, bool]:
    """Return whether the rows and the columns of the upright image run against the stored ones."""
    return orientation in {3, 4, 7, 8}, orientation in {2, 3, 6, 7}
