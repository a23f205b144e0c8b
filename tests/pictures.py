"""Encode images for tests, unusual and broken ones too."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import cv2


def encoded(image: NDArray[np.uint8] | NDArray[np.uint16], suffix: str = ".png") -> bytes:
    """Return an image encoded as a file; colours in OpenCV's order."""
    return cv2.imencode(suffix, np.asarray(image))[1].tobytes()


def png_chunk(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    """Return a PNG chunk; `length` replaces the true length in its header."""
    stated = len(body) if length is None else length
    return struct.pack(">I", stated) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif_block(orientation: int) -> bytes:
    """Return a little-endian TIFF block with an orientation."""
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", 1)
        + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
        + b"\0" * 4
    )


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation."""
    body = b"Exif\0\0" + exif_block(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
