"""Read format, size, transparency and orientation of an image from its header, without a decoder.

A file passes only with a known signature and, for PNG, chunk lengths that fit in the file: otherwise a
46-byte PNG can ask a decoder for 2 GB.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import exif
from edge_fm_runtime.status import Status


class ImageFormat(StrEnum):
    """Supported image formats."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    BMP = "BMP"


@dataclass(frozen=True)
class Header:
    """Properties of an image, read from its header.

    Attributes:
        format: format of the file.
        width: stored width in pixels.
        height: stored height in pixels.
        has_alpha: whether pixels may be transparent.
        orientation: EXIF orientation, 1 to 8; see `exif`.
    """

    format: ImageFormat
    width: int
    height: int
    has_alpha: bool
    orientation: int = exif.UPRIGHT

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width in pixels of the image turned upright."""
        return (self.width, self.height) if exif.is_sideways(self.orientation) else (self.height, self.width)


SUPPORTED = ", ".join(ImageFormat)

_FOREIGN = (
    # Offset, signature, name, remedy.
    (
        4,
        b"ftypheic",
        "HEIC",
        "an iPhone picture: convert it with 'heif-convert', or set Camera > Formats > Most Compatible",
    ),
    (
        4,
        b"ftypheix",
        "HEIC",
        "an iPhone picture: convert it with 'heif-convert', or set Camera > Formats > Most Compatible",
    ),
    (4, b"ftypmif1", "HEIF", "convert it with 'heif-convert', or set Camera > Formats > Most Compatible"),
    (4, b"ftypavif", "AVIF", "convert it to JPEG or PNG"),
    (0, b"II*\0", "TIFF", "convert it to JPEG or PNG"),
    (0, b"MM\0*", "TIFF", "convert it to JPEG or PNG"),
    (0, b"GIF8", "GIF", "convert it to PNG"),
    (0, b"\0\0\0\x0cjP", "JPEG 2000", "convert it to JPEG or PNG"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", "convert it to JPEG or PNG"),
    (0, b"%PDF", "PDF", "extract its pictures with 'pdfimages'"),
    (0, b"8BPS", "Photoshop", "convert it to JPEG or PNG"),
    (0, b"PK\x03\x04", "zip archive", "unpack it first"),
)


def read_header(data: bytes) -> Header:
    """Return the header of an encoded image.

    Raises:
        InputError: the image is refused, with the status `unsupported`, `truncated` or `unreadable`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    for offset, signature, name, remedy in _FOREIGN:
        if data[offset:].startswith(signature):
            raise InputError(Status.UNSUPPORTED, f"{name} is not supported: {remedy}")
    raise InputError(Status.UNSUPPORTED, f"no picture of a known format ({SUPPORTED})")


def _jpeg(data: bytes) -> Header:
    position, orientation = 2, 0
    while position + 9 < len(data):
        if data[position] != 0xFF:
            raise InputError(Status.UNREADABLE, "the JPEG is damaged before its picture begins")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            position += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return Header(ImageFormat.JPEG, width, height, False, orientation or exif.UPRIGHT)
        if marker in {0xD9, 0xDA}:
            raise InputError(Status.UNREADABLE, "the JPEG has no frame header")
        length = max(2, struct.unpack_from(">H", data, position + 2)[0])
        if marker == 0xE1 and not orientation and data.startswith(exif.SIGNATURE, position + 4):
            orientation = exif.orientation(data[position + 4 : position + 2 + length])
        position += 2 + length
    raise InputError(Status.TRUNCATED, "the JPEG ends before its picture begins: copy the file again")


def _png(data: bytes) -> Header:
    if len(data) < 33:
        raise InputError(Status.TRUNCATED, "the PNG ends within its header: copy the file again")
    if data[12:16] != b"IHDR":
        raise InputError(Status.UNREADABLE, "the PNG does not begin with its header")
    width, height, _depth, colour = struct.unpack_from(">IIBB", data, 16)
    has_alpha = bool(colour & 4)
    position, orientation = 8, exif.UPRIGHT
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            break
        has_alpha |= kind == b"tRNS"
        if kind == b"eXIf":
            orientation = exif.orientation(data[position + 8 : position + 8 + length])
        if kind == b"IEND":
            return Header(ImageFormat.PNG, width, height, has_alpha, orientation)
        position += 12 + length
    raise InputError(
        Status.TRUNCATED, "the PNG ends before its end chunk, or a chunk claims more bytes than there are"
    )


def _webp(data: bytes) -> Header:
    if len(data) < 30:
        raise InputError(Status.TRUNCATED, "the WebP ends within its header: copy the file again")
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise InputError(
            Status.TRUNCATED, "the WebP file is shorter than its header states: copy the file again"
        )
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return Header(ImageFormat.WEBP, width, height, bool(data[20] & 0x10), _webp_orientation(data))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header(ImageFormat.WEBP, 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(ImageFormat.WEBP, width & 0x3FFF, height & 0x3FFF, has_alpha=False)
    raise InputError(Status.UNREADABLE, "the WebP has no picture")


def _webp_orientation(data: bytes) -> int:
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


def _bmp(data: bytes) -> Header:
    if len(data) < 54:
        raise InputError(Status.TRUNCATED, "the BMP ends within its header: copy the file again")
    size = struct.unpack_from("<I", data, 14)[0]
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return Header(ImageFormat.BMP, width, height, has_alpha=False)
    width, height = struct.unpack_from("<ii", data, 18)
    # OpenCV reads a BMP's fourth byte as padding, not as alpha.
    return Header(ImageFormat.BMP, abs(width), abs(height), has_alpha=False)
