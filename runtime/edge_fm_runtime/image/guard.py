"""Check the bytes of an image before any decoder sees them.

Decoders are written in C, and their input is untrusted: a file passes only within the size limits, with a
known signature, and with a header that the reader of its format accepts. A 46-byte PNG whose chunks claim
more bytes than there are could ask a decoder for 2 GB.
"""

import os
from dataclasses import dataclass

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image.formats import bmp, jpeg, png, webp
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.status import Status
from edge_fm_runtime.untrusted.regular_file import RefusedFileError, open_regular

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


@dataclass(frozen=True)
class Limits:
    """Size limits of an image.

    Attributes:
        max_bytes: largest size of the file in bytes.
        max_pixels: largest width times height; a value over OpenCV's own limit has no effect.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 2**27


DEFAULT_LIMITS = Limits()


class OpenFile:
    """An image file, opened before it is read so that the system can prefetch it.

    Attributes:
        size: size in bytes.
        mtime_ns: modification time in nanoseconds.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> None:
        """Open a file.

        Raises:
            InputError: the file is missing, cannot be opened, is not a regular file, or is over
                `limits.max_bytes`.
        """
        try:
            self._descriptor, information = open_regular(path)
        except RefusedFileError:
            raise InputError(Status.UNSUPPORTED, "not a regular file") from None
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                Status.MISSING, "the file does not exist: it may have been moved or deleted"
            ) from None
        except OSError as error:
            raise InputError(Status.UNREADABLE, f"the file cannot be opened: {error.strerror}") from None
        self.size, self.mtime_ns = information.st_size, information.st_mtime_ns
        self._limits = limits
        if self.size > limits.max_bytes:
            self.close()
            raise _too_many_bytes(self.size, limits)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_WILLNEED)

    def read(self) -> bytes:
        """Return all bytes and close the file.

        Raises:
            InputError: the file cannot be read, or has grown over the limit.
        """
        try:
            # One byte more than expected, so that one call also reaches the end of the file.
            parts = [os.read(self._descriptor, self.size + 1)]
            total = len(parts[0])
            while parts[-1] and total != self.size:
                parts.append(os.read(self._descriptor, self._limits.max_bytes + 1))
                total += len(parts[-1])
                if total > self._limits.max_bytes:
                    raise _too_many_bytes(total, self._limits)
        except OSError as error:
            raise InputError(Status.UNREADABLE, f"the file cannot be read: {error.strerror}") from None
        finally:
            self.close()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_file(path: str | bytes | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: the file is missing, unreadable, not a regular file, or over `limits.max_bytes`.
    """
    return OpenFile(path, limits).read()


def check(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Check an encoded image and return its header.

    Args:
        data: the encoded image.
        limits: size limits.

    Raises:
        InputError: the image is refused, with the status `empty`, `unsupported`, `too_large`, `truncated` or
            `unreadable`.
    """
    if not data:
        raise InputError(Status.EMPTY, "the file has no bytes")
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(len(data), limits)
    header = _read_header(data)
    pixels = header.width * header.height
    if pixels > min(limits.max_pixels, DEFAULT_LIMITS.max_pixels):
        raise InputError(
            Status.TOO_LARGE,
            f"{header.width} x {header.height} pixels are more than the limit of {limits.max_pixels:,}",
        )
    if pixels == 0:
        raise InputError(Status.UNREADABLE, f"a {header.format} of {header.width} x {header.height} pixels")
    return header


def _read_header(data: bytes) -> Header:
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.read(data)
    if data.startswith(png.SIGNATURE):
        return png.read(data)
    if webp.is_webp(data):
        return webp.read(data)
    if data.startswith(bmp.SIGNATURE):
        return bmp.read(data)
    for offset, signature, name, remedy in _FOREIGN:
        if data[offset:].startswith(signature):
            raise InputError(Status.UNSUPPORTED, f"{name} is not supported: {remedy}")
    raise InputError(Status.UNSUPPORTED, f"no picture of a known format ({', '.join(ImageFormat)})")


def decoding_error(data: bytes, header: Header) -> InputError:
    """Return the error for bytes that passed `check` but could not be decoded."""
    if header.format is ImageFormat.JPEG and b"\xff\xd9" not in data[-1024:]:
        return InputError(Status.TRUNCATED, "the JPEG ends before its end marker: copy the file again")
    return InputError(Status.UNREADABLE, f"the {header.format} is damaged and cannot be decoded")


def _too_many_bytes(size: int, limits: Limits) -> InputError:
    return InputError(Status.TOO_LARGE, f"{size:,} bytes are more than the limit of {limits.max_bytes:,}")
