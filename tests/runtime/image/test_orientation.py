"""EXIF orientation in every container, compared with Pillow's."""

import io
import struct
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edge_fm_runtime.image import decoding, guard
from tests.pictures import png_chunk

PREFIXES = {"bare": b"", "prefixed": b"Exif\0\0"}
FILL = 128


def image_of_gradients(*, alpha: bool) -> Image.Image:
    """Return 48x32 pixels with four different corners, transparent at one side if asked."""
    down, across = np.mgrid[:32, :48]
    colours = np.stack([down * 8, across * 5, (down + across) * 3], axis=-1).astype(np.uint8)
    made = Image.fromarray(colours)
    if alpha:
        made.putalpha(Image.fromarray((255 - across * 5).astype(np.uint8)))
    return made


def block(orientation: int, order: str, kind: int) -> bytes:
    """Return a TIFF block with an orientation as a SHORT (3) or a LONG (4)."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(
        order + ("HH" if kind == 3 else "I"), *((orientation, 0) if kind == 3 else (orientation,))
    )
    return mark + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)


def jpeg(exif: bytes) -> bytes:
    """Return a JPEG with an EXIF block, always with its prefix."""
    body = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
    data = saved(image_of_gradients(alpha=False), "JPEG", quality=98, subsampling=0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png(exif: bytes, *, alpha: bool = False, late: bool = False) -> bytes:
    """Return a PNG with an eXIf chunk, before the image data or after it."""
    data = saved(image_of_gradients(alpha=alpha), "PNG")
    place = len(data) - 12 if late else 33
    return data[:place] + png_chunk(b"eXIf", exif) + data[place:]


def webp(exif: bytes, *, alpha: bool = False, animated: bool = False, **options: object) -> bytes:
    """Return a WebP with an EXIF chunk."""
    more = (
        {"save_all": True, "append_images": [image_of_gradients(alpha=alpha).rotate(180)]} if animated else {}
    )
    data = saved(image_of_gradients(alpha=alpha), "WEBP", exif=b"II*\0\x08\0\0\0\0\0", **options, **more)
    place = data.index(b"EXIF")
    (length,) = struct.unpack_from("<I", data, place + 4)
    chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    body = data[8:place] + chunk + data[place + 8 + length + length % 2 :]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image encoded by Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg,
    "PNG": png,
    "PNG, late": lambda exif: png(exif, late=True),
    "PNG, alpha": lambda exif: png(exif, alpha=True),
    "WebP, lossy": lambda exif: webp(exif, quality=98),
    "WebP, lossless": lambda exif: webp(exif, lossless=True),
    "WebP, lossy with alpha": lambda exif: webp(exif, alpha=True, quality=98),
    "WebP, lossless with alpha": lambda exif: webp(exif, alpha=True, lossless=True),
    "WebP, animated": lambda exif: webp(exif, animated=True, lossless=True),
}


@pytest.mark.parametrize("kind", [3, 4], ids=["SHORT", "LONG"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_every_orientation_equals_pillows(
    container: Callable[[bytes], bytes], prefix: bytes, order: str, kind: int
) -> None:
    """All eight orientations, with and without prefix, in both byte orders, equal those of Pillow."""
    for orientation in range(1, 9):
        data = container(prefix + block(orientation, order, kind))
        with Image.open(io.BytesIO(data)) as opened:
            expected = over_fill(ImageOps.exif_transpose(opened).convert("RGBA"))
        for channels in (1, 3):
            made = decoding.decode(data, guard.check(data), channels, FILL, 1)
            reference = expected if channels == 3 else np.asarray(Image.fromarray(expected).convert("L"))
            assert made.shape == reference.shape
            assert np.abs(made.astype(int) - reference.astype(int)).mean() < 2, (orientation, channels)


@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize("kind", [1, 3, 4], ids=["BYTE", "SHORT", "LONG"])
def test_several_or_no_values_equal_pillows(kind: int, count: int) -> None:
    """The first of several values counts, wherever it is stored; a byte or no value is ignored."""
    size = {1: 1, 3: 2, 4: 4}[kind]
    values = b"".join(value.to_bytes(size, "little") for value in (6, 3, 3)[:count])
    inline = values.ljust(4, b"\0") if len(values) <= 4 else (26).to_bytes(4, "little")
    entry = struct.pack("<HHHI", 1, 0x0112, kind, count) + inline + bytes(4)
    data = jpeg(PREFIXES["prefixed"] + b"II*\0\x08\0\0\0" + entry + values)
    with Image.open(io.BytesIO(data)) as opened, warnings.catch_warnings(action="ignore"):
        expected = ImageOps.exif_transpose(opened).size
    assert decoding.decode(data, guard.check(data), 1, FILL, 1).shape[1::-1] == expected


def over_fill(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image composited over the fill."""
    background = Image.new("RGBA", image.size, (FILL, FILL, FILL, 255))
    return np.asarray(Image.alpha_composite(background, image).convert("RGB"))
