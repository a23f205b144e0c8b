"""Every kind of every format against its true pixels: it is decoded rightly, or refused with a remedy."""

import io
from itertools import chain

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import decoding, guard
from edge_fm_runtime.image.formats import png
from edge_fm_runtime.image.header import ImageFormat
from edge_fm_runtime.status import Status
from tests.kinds.base import Kind
from tests.kinds.bmp import bmp_file, bmp_header, bmps
from tests.kinds.photo import as_pillow_reads, jpegs, smallest_webp, webps
from tests.kinds.png import pngs
from tests.pictures import encoded, png_chunk

FILL = 128
DRAWN = [*pngs(), *bmps()]
PHOTOGRAPHED = [*jpegs(), *webps()]
KINDS = [*DRAWN, *PHOTOGRAPHED]
READ = [kind for kind in KINDS if kind.truth is not None]
REFUSED = [kind for kind in KINDS if kind.truth is None]

PILLOW_IS_WRONG = ("PNG colour 0, 2 bits, tRNS", "PNG colour 0, 4 bits, tRNS", "PNG colour 2, 16 bits, tRNS")
"""Pillow compares levels of other scales with the transparent one."""

PILLOW_CLIPS = "PNG colour 0, 16 bits"
"""Pillow makes every level above 255 of such a PNG white."""


def over_fill(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return RGBA over the fill."""
    alpha = truth[..., 3:] / 255
    return truth[..., :3] * alpha + FILL * (1 - alpha)


def name_of(kind: Kind) -> str:
    """Return the identifier of a test."""
    return kind.name


@pytest.mark.parametrize("kind", READ, ids=name_of)
def test_pixels_are_the_true_ones(kind: Kind) -> None:
    """Grey and RGB differ from the true pixels by rounding alone."""
    assert kind.truth is not None
    rgb = over_fill(kind.truth)
    # Conversions of CMYK round several times.
    tolerance = 2.5 if "CMYK" in kind.name or "YCCK" in kind.name else 1.01
    for channels, expected in ((3, rgb), (1, rgb @ [0.299, 0.587, 0.114])):
        made = decoding.decode(kind.data, guard.check(kind.data), channels, FILL, 1)
        assert np.abs(made - expected).max() <= tolerance, channels


@pytest.mark.parametrize("kind", REFUSED, ids=name_of)
def test_a_sound_file_of_a_foreign_kind_is_unsupported(kind: Kind) -> None:
    """A kind that is not read is no damage, and the message says what to do."""
    with pytest.raises(InputError, match="convert it to PNG") as caught:
        guard.check(kind.data)
    assert caught.value.status is Status.UNSUPPORTED


@pytest.mark.parametrize(
    "kind",
    [k for k in DRAWN if k.truth is not None and not k.name.startswith((*PILLOW_IS_WRONG, PILLOW_CLIPS))],
    ids=name_of,
)
def test_the_table_agrees_with_pillow(kind: Kind) -> None:
    """The true pixels of files that are made here are those that Pillow reads."""
    assert kind.truth is not None
    with Image.open(io.BytesIO(kind.data)) as opened:
        assert opened.size == kind.truth.shape[1::-1]
    # Of 16 bits Pillow keeps the upper byte.
    tolerance = 1.5 if "16 bits" in kind.name else 1.01
    assert np.abs(over_fill(as_pillow_reads(kind.data)) - over_fill(kind.truth)).max() <= tolerance


@pytest.mark.parametrize("kind", [k for k in READ if k.name.startswith("JPEG")], ids=name_of)
def test_reduced_decoding_shows_the_same_picture(kind: Kind) -> None:
    """Every kind of JPEG that is read has the mean of its full size at a half and at a quarter of it."""
    header = guard.check(kind.data)
    full = decoding.decode(kind.data, header, 1, FILL, 1)
    for reduction in (2, 4):
        small = decoding.decode(kind.data, header, 1, FILL, reduction)
        assert small.shape[0] * reduction == full.shape[0]
        assert abs(float(small.mean()) - float(full.mean())) < 2


@pytest.mark.parametrize("kind", [k for k in READ if k.name.startswith(("PNG", "BMP"))], ids=name_of)
def test_a_cut_file_has_no_pixels(kind: Kind) -> None:
    """A PNG or BMP without its last bytes, or with its first half only, is truncated."""
    for length in (len(kind.data) - 1, len(kind.data) // 2, 30):
        with pytest.raises(InputError) as caught:
            guard.check(kind.data[:length])
        assert caught.value.status is Status.TRUNCATED, length


def test_a_whole_webp_of_28_bytes_is_read() -> None:
    """The smallest WebP passes the guard and is decoded; without its last byte it is truncated."""
    data = smallest_webp()
    assert len(data) == 28
    assert decoding.decode(data, guard.check(data), 1, FILL, 1).tolist() == [[1]]
    with pytest.raises(InputError) as caught:
        guard.check(data[:-1])
    assert caught.value.status is Status.TRUNCATED


def test_a_whole_bmp_of_36_bytes_is_read() -> None:
    """The smallest BMP, of one black or white pixel under the oldest header, is read."""
    header = bmp_header(12, 1)[:4] + b"\1\0\1\0\1\0\1\0"
    data = bmp_file(header, b"\0\0\0\xff\xff\xff", b"\x80\0\0\0")
    assert len(data) == 36
    assert decoding.decode(data, guard.check(data), 1, FILL, 1).tolist() == [[255]]


def test_damaged_bmp_headers_are_refused() -> None:
    """A BMP of negative width or with too many colours has no pixels, whatever OpenCV would make of it."""
    whole = bytearray(encoded(np.zeros((4, 4), np.uint8), ".bmp"))
    for place, value in ((18, b"\xfc\xff\xff\xff"), (46, b"\1\1\0\0")):
        data = bytes(whole[:place] + value + whole[place + 4 :])
        with pytest.raises(InputError) as caught:
            decoding.decode(data, guard.check(data), 1, FILL, 1)
        assert caught.value.status is Status.UNREADABLE


def test_opencv_gets_only_the_chunks_that_make_the_picture() -> None:
    """No text, colour profile or unknown ancillary chunk reaches the decoder; unknown critical ones do."""
    data = encoded(np.zeros((4, 4), np.uint8))
    ignored = png_chunk(b"zTXt", b"k\0\0") + png_chunk(b"vpAg", bytes(9)) + png_chunk(b"eXIf", b"II*\0")
    assert png.for_opencv(data[:33] + ignored + data[33:]) == data
    critical = data[:33] + png_chunk(b"ABCD", b"x") + data[33:]
    assert png.for_opencv(critical) == critical


def test_the_first_transparent_grey_counts() -> None:
    """Only the bits of the image's depth count, a second tRNS does not, and one of a byte is ignored."""
    data = encoded(np.zeros((4, 4), np.uint8))
    for chunks, expected in (
        ((b"\x01\x07", b"\0\x09"), 7),
        ((b"\x01",), None),
    ):
        made = data[:33] + b"".join(png_chunk(b"tRNS", body) for body in chunks) + data[33:]
        header = guard.check(made)
        assert (header.format, header.has_alpha, header.transparent_grey) == (ImageFormat.PNG, True, expected)


def test_kinds_have_names_of_their_own() -> None:
    """No two kinds are confused in a report."""
    names = [kind.name for kind in chain(READ, REFUSED)]
    assert len(set(names)) == len(names)
