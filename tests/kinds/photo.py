"""Every kind of JPEG and WebP, with the pixels that Pillow reads, if edge-fm reads it too."""

import base64
import io
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.kinds.base import Kind

DOWN, ACROSS = np.mgrid[:40, :56]
COLOUR = Image.fromarray(np.stack([DOWN * 6, ACROSS * 4, (DOWN + ACROSS) * 2], axis=-1).astype(np.uint8))
GREY = COLOUR.convert("L")

_ARITHMETIC = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1x
eXBkeFxlZ2P/yQALCAAQABABAREA/8wABgAQEAX/2gAIAQEAAD8A/wBtnjXfLWblpX1G6r15Rt8k/9k="""
_ARITHMETIC_PROGRESSIVE = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1x
eXBkeFxlZ2P/ygALCAAQABABAREA/8wABAAQ/9oACAEBAAAAAf7bVj3M/8wABBAF/9oACAEBAAEFAh6dkZew/8wABBAF/9oACAEBAAY/AsD/
zAAEEAX/2gAIAQEAAT8h7P/aAAgBAQAAABBg/8wABBAF/9oACAEBAAE/EFAm13D/2Q=="""


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    """Return an image encoded by Pillow."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def as_pillow_reads(data: bytes) -> NDArray[np.float64]:
    """Return (height, width, 4) RGBA; Pillow converts CMYK to RGB on its own, so not to RGBA at once."""
    with Image.open(io.BytesIO(data)) as opened:
        rgba = (
            opened
            if opened.mode in {"RGBA", "LA", "PA"} or "transparency" in opened.info
            else opened.convert("RGB")
        )
        return np.asarray(rgba.convert("RGBA")).astype(np.float64)


def jpegs() -> Iterator[Kind]:
    """Make JPEGs of all colours and codings, and with bytes that belong to no segment."""
    plain, rgb = saved(COLOUR, "JPEG", quality=95), saved(COLOUR, "JPEG", quality=95, keep_rgb=True)
    cmyk = saved(_cmyk(), "JPEG", quality=95)
    transform = cmyk.index(b"Adobe") + 11
    adobe = cmyk.index(b"\xff\xee")
    after = plain[2:]
    read = {
        "baseline": plain,
        "progressive": saved(COLOUR, "JPEG", progressive=True),
        "restart intervals": saved(COLOUR, "JPEG", restart_marker_blocks=2),
        "grey": saved(GREY, "JPEG"),
        "grey, progressive": saved(GREY, "JPEG", progressive=True),
        "grey, arithmetic": base64.b64decode(_ARITHMETIC),
        "grey, arithmetic, progressive": base64.b64decode(_ARITHMETIC_PROGRESSIVE),
        "RGB by Adobe's marker": rgb,
        "CMYK": cmyk,
        "CMYK without Adobe's marker": cmyk[:adobe] + cmyk[adobe + 16 :],
        "YCCK": cmyk[:transform] + b"\2" + cmyk[transform + 1 :],
        "fill bytes first": b"\xff\xd8\xff\xff\xff" + after,
        "bytes before the first marker": b"\xff\xd8\xff\0\x12\x34" + after,
        "many bytes before the first marker": b"\xff\xd8\xff\0" + bytes(300) + after,
        "an APP segment with too short a length": b"\xff\xd8\xff\xe5\0\4abcdefgh" + after,
        "an APP segment with a length of 0": b"\xff\xd8\xff\xe1\0\0Exif\0\0MM" + after,
        "an APP segment with a length of 1": b"\xff\xd8\xff\xe5\0\1abcdefgh" + after,
        "a broken APP segment with 0xff in it": b"\xff\xd8\xff\xe5\0\4ab\xff\0cd\xff\xff\0" + after,
        "bytes before the frame": plain.replace(b"\xff\xc0", b"\xff\0junk\xff\xc0", 1),
        "bytes after the end": plain + bytes(5000),
    }
    for name, data in read.items():
        yield Kind(f"JPEG, {name}", data, as_pillow_reads(data))
    frame = plain.index(b"\xff\xc0")
    for name, marker in (("hierarchical", 0xC5), ("lossless, arithmetic", 0xCB), ("JPEG-LS", 0xF7)):
        yield Kind(f"JPEG, {name}", plain[: frame + 1] + bytes([marker]) + plain[frame + 2 :], None)
    yield Kind("JPEG, lossless", lossless(np.asarray(GREY)), None)
    yield Kind("JPEG, 12 bits", plain[:frame] + b"\xff\xc1\0\x11\x0c" + plain[frame + 5 :], None)
    late = plain[: frame + 5] + b"\0\0" + plain[frame + 7 : -2] + b"\xff\xdc\0\4\0\x28\xff\xd9"
    yield Kind("JPEG, height after the scan", late, None)
    yield Kind("JPEG, two components", plain[: frame + 9] + b"\2" + plain[frame + 10 :], None)


def _cmyk() -> Image.Image:
    """Return a CMYK image in which black is not only the darkness of the other inks."""
    inks = np.array(COLOUR.convert("CMYK"))
    inks[..., 3] = ACROSS * 3
    return Image.fromarray(inks, "CMYK")


def lossless(grey: NDArray[np.uint8]) -> bytes:
    """Return a lossless JPEG (ITU-T T.81, H): differences to the pixel on the left, in codes of four bits."""
    values = grey.astype(int)
    before = np.pad(values[:, :-1], ((0, 0), (1, 0)), constant_values=128)
    before[1:, 0] = values[:-1, 0]
    bits = ""
    for difference in (values - before).ravel().tolist():
        size = abs(difference).bit_length()
        stored = difference if difference >= 0 else difference + 2**size - 1
        bits += f"{size:04b}" + (f"{stored:0{size}b}" if size else "")
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    table = b"\xff\xc4" + struct.pack(">HB", 28, 0) + bytes([0, 0, 0, 9, *[0] * 12, *range(9)])
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 11, 8, *grey.shape, 1) + b"\1\x11\0"
    return b"\xff\xd8" + frame + table + b"\xff\xda\0\x08\1\1\0\1\0\0" + scan + b"\xff\xd9"


def webps() -> Iterator[Kind]:
    """Make WebPs of all codings, with and without alpha and animation, and the smallest one."""
    clear = COLOUR.copy()
    clear.putalpha(Image.fromarray((255 - ACROSS * 4).astype(np.uint8)))
    exif = struct.pack("<2sHIH", b"II", 42, 8, 0) + bytes(4)
    files = {"smallest": smallest_webp()}
    for name, image in (("", COLOUR), (", alpha", clear)):
        for coding, lossless_ in (("lossy", False), ("lossless", True)):
            files[f"{coding}{name}"] = saved(image, "WEBP", lossless=lossless_)
            files[f"{coding}{name}, extended"] = saved(image, "WEBP", lossless=lossless_, exif=exif)
            files[f"{coding}{name}, animated"] = saved(
                image, "WEBP", lossless=lossless_, save_all=True, append_images=[image.rotate(180)]
            )
    files["bytes after the end"] = files["lossless"] + bytes(50)
    files["a frame smaller than the canvas"] = _small_frame(files["lossless"], 0)
    files["a frame smaller than the canvas, alpha"] = _small_frame(files["lossless"], 0x10)
    for name, data in files.items():
        yield Kind(f"WebP, {name}", data, as_pillow_reads(data))


def smallest_webp() -> bytes:
    """Return a whole WebP of 28 bytes: one pixel of level 1, each of its codes with a single symbol."""
    chunk = b"\x2f\0\0\0\0\xc8\xcc\x0c"
    return b"RIFF" + struct.pack("<I4s4sI", 20, b"WEBP", b"VP8L", len(chunk)) + chunk


def _small_frame(webp: bytes, flags: int) -> bytes:
    """Return an animation whose only frame covers a part of the canvas."""
    sizes = b"".join((size - 1).to_bytes(3, "little") for size in (80, 60))
    place = b"".join(value.to_bytes(3, "little") for value in (4, 6, 55, 39, 100)) + b"\0"
    body = b"WEBP"
    for kind, chunk in (
        (b"VP8X", bytes([flags | 2, 0, 0, 0]) + sizes),
        (b"ANIM", b"\xff\xff\xff\xff\0\0"),
        (b"ANMF", place + webp[12:]),
    ):
        body += struct.pack("<4sI", kind, len(chunk)) + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body
