"""The guard: images that are refused before they are decoded, and their statuses."""

import os
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import guard
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.image.header import ImageFormat
from edge_fm_runtime.status import Status
from tests.pictures import encoded, png_chunk

GREY = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
PNG, JPEG = encoded(GREY), encoded(GREY, ".jpg")


@pytest.mark.parametrize(
    ("suffix", "format_"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WebP"), (".bmp", "BMP")]
)
def test_the_header_has_format_and_size(suffix: str, format_: str) -> None:
    """The size of each supported format is read from its header."""
    header = guard.check(encoded(GREY, suffix))
    assert (header.format, header.width, header.height) == (ImageFormat(format_), 60, 40)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_is_detected(suffix: str) -> None:
    """The header says whether an image may be transparent."""
    assert guard.check(encoded(np.zeros((9, 9, 4), np.uint8), suffix)).has_alpha
    assert not guard.check(encoded(np.zeros((9, 9, 3), np.uint8), suffix)).has_alpha


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.EMPTY),
        (b"hello, this is text", Status.UNSUPPORTED),
        (b"\0\0\0\x18ftypheic\0\0\0\0", Status.UNSUPPORTED),
        (b"GIF89a\x01\0\x01\0", Status.UNSUPPORTED),
        (JPEG[:4], Status.TRUNCATED),
        (JPEG[:20], Status.TRUNCATED),
        (b"\xff\xd8\xff\xd9" + b"\0" * 20, Status.UNREADABLE),
        (b"\xff\xd8\xff\x00" + b"\0" * 20, Status.UNREADABLE),
        (PNG[:20], Status.TRUNCATED),
        (PNG[:-20], Status.TRUNCATED),
        (PNG[:33] + png_chunk(b"tEXt", b"x", length=2**31 - 1), Status.TRUNCATED),
        (PNG[:8] + png_chunk(b"IHDR", b"\0\x01\0\0\0\x01\0\0\x08\0\0\0\0") + PNG[33:], Status.TOO_LARGE),
        (PNG[:8] + png_chunk(b"IHDR", b"\0\0\0\0\0\0\0\x01\x08\0\0\0\0") + PNG[33:], Status.UNREADABLE),
        (b"RIFF\x10\0\0\0WEBPVP8 ", Status.TRUNCATED),
        (b"BM" + b"\0" * 20, Status.TRUNCATED),
    ],
)
def test_refused_bytes_get_their_status(data: bytes, status: Status) -> None:
    """Each kind of unusable bytes has its own status and a message."""
    with pytest.raises(InputError) as caught:
        guard.check(data)
    assert caught.value.status is status
    assert str(caught.value)


def test_heic_names_a_remedy() -> None:
    """An iPhone photo in HEIC is refused with a remedy."""
    with pytest.raises(InputError, match="Most Compatible"):
        guard.check(b"\0\0\0\x18ftypheic\0\0\0\0mif1")


def test_limits_hold() -> None:
    """A file over the byte limit and an image over the pixel limit are both `too_large`."""
    for limits in (Limits(max_bytes=len(PNG) - 1), Limits(max_pixels=60 * 40 - 1)):
        with pytest.raises(InputError) as caught:
            guard.check(PNG, limits)
        assert caught.value.status is Status.TOO_LARGE


def test_read_file_statuses(tmp_path: Path) -> None:
    """A missing path, a folder, a named pipe and a large file each have a status, without a wait."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 100)
    expected = [
        (tmp_path / "none", Status.MISSING),
        (large / "below", Status.MISSING),
        (tmp_path, Status.UNSUPPORTED),
        (pipe, Status.UNSUPPORTED),
        (large, Status.TOO_LARGE),
    ]
    for path, status in expected:
        with pytest.raises(InputError) as caught:
            guard.read_file(path, Limits(max_bytes=99))
        assert caught.value.status is status, path
