"""BMPs of all headers, depths, compressions and masks, made without an image library."""

import itertools
import struct
from collections.abc import Iterator

import numpy as np

from tests.kinds.base import HEIGHT, WIDTH, Kind, Samples, gradient


def bmps() -> Iterator[Kind]:
    """Make BMPs of all headers, depths, compressions and masks, those that are refused too."""
    for size, bits in itertools.product((12, 40, 52, 56, 64, 108, 124), (1, 4, 8, 24, 32)):
        yield _bmp_kind(f"BMP header {size}, {bits} bits", size, bits)
        if size > 12:
            yield _bmp_kind(f"BMP header {size}, {bits} bits, top-down", size, bits, is_top_down=True)
    for bits, colours in ((1, 1), (4, 11), (8, 50)):
        yield _bmp_kind(f"BMP {bits} bits, {colours} colours", 40, bits, colours=colours)
    for bits in (4, 8):
        yield _short_palette(bits)
    yield from _masked()
    yield from _run_lengths()
    yield from _foreign_bmps()


def _bmp_kind(name: str, size: int, bits: int, *, colours: int = 0, is_top_down: bool = False) -> Kind:
    if bits <= 8:
        count = colours or 2**bits
        indices = gradient(count)
        entries = gradient(256, 3).reshape(-1, 3)[np.arange(count) % (HEIGHT * WIDTH)]
        truth, stored = entries[indices[..., 0]], indices
        palette = np.pad(entries[:, ::-1], ((0, 0), (0, size > 12))).astype(np.uint8).tobytes()
    else:
        truth, palette = gradient(256, 3), b""
        # The fourth byte is padding here, whatever it holds.
        stored = np.dstack([truth[..., ::-1], gradient(200)])[..., : bits // 8]
    rows = _bmp_rows(stored if is_top_down else stored[::-1], bits)
    header = bmp_header(size, bits, colours=colours, is_top_down=is_top_down)
    return Kind(
        name, bmp_file(header, palette, rows), np.dstack([truth, np.full(truth.shape[:2], 255)]) * 1.0
    )


def _short_palette(bits: int) -> Kind:
    """Make a BMP with indices after the end of its palette, which are black."""
    indices, count = gradient(2**bits), 2 ** (bits - 1)
    entries = gradient(256, 3).reshape(-1, 3)[np.arange(2**bits) % (HEIGHT * WIDTH)]
    entries[count:] = 0
    palette = np.pad(entries[:count, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()
    data = bmp_file(bmp_header(40, bits, colours=count), palette, _bmp_rows(indices[::-1], bits))
    truth = np.dstack([entries[indices[..., 0]], np.full(indices.shape[:2], 255)]) * 1.0
    return Kind(f"BMP {bits} bits, short palette", data, truth)


def bmp_header(
    size: int, bits: int, compression: int = 0, *, colours: int = 0, is_top_down: bool = False
) -> bytes:
    """Return a BMP header of any size, with zeros in its later fields."""
    if size == 12:
        return struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    height = -HEIGHT if is_top_down else HEIGHT
    fields = (size, WIDTH, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return struct.pack("<IiiHHIIiiII", *fields).ljust(size, b"\0")


def bmp_file(header: bytes, palette: bytes, pixels: bytes) -> bytes:
    """Return a BMP file; the palette may also be masks."""
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<III", offset + len(pixels), 0, offset) + header + palette + pixels


def _bmp_rows(samples: Samples, bits: int) -> bytes:
    """Return rows of indices or of bytes, each padded to four bytes."""
    rows = []
    for row in samples.reshape(len(samples), -1):
        depth = min(bits, 8)
        packed = np.packbits(((row[:, None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8)).tobytes()
        rows.append(packed + bytes(-len(packed) % 4))
    return b"".join(rows)


def _masked() -> Iterator[Kind]:
    """Make 32-bit BMPs with masks: in the usual order they are read, all others are refused."""
    orders = {"BGRX": (2, 1, 0, None), "BGRA": (2, 1, 0, 3), "RGBX": (0, 1, 2, None), "RGBA": (0, 1, 2, 3)}
    orders |= {"XBGR": (3, 2, 1, None), "ABGR": (3, 2, 1, 0), "BGXR": (3, 1, 0, None)}
    for (order, places), size in itertools.product(orders.items(), (40, 52, 56, 108, 124)):
        has_alpha = places[3] is not None
        if has_alpha and size < 56:
            continue
        rgba = gradient(256, 4)
        masks = [0 if place is None else 255 << 8 * place for place in places]
        words = np.zeros((HEIGHT, WIDTH), np.int64)
        for channel, place in enumerate(places):
            words += 0 if place is None else rgba[..., channel] << 8 * place
        header = bmp_header(size, 32, 3)
        packed = struct.pack("<4I", *masks)[: 16 if size >= 56 else 12]
        # In a header of 40 bytes there is nothing to replace, so the masks follow it.
        header = header[:40] + packed + header[40 + len(packed) :]
        data = bmp_file(header, b"", words[::-1].astype("<u4").tobytes())
        if not has_alpha:
            rgba[..., 3] = 255
        yield Kind(f"BMP header {size}, {order}", data, rgba * 1.0 if order.startswith("BGR") else None)


def _run_lengths() -> Iterator[Kind]:
    """Make run-length BMPs, which OpenCV decodes wrongly: runs, literals, and jumps over pixels."""
    palette = np.pad(gradient(256, 3).reshape(-1, 3), ((0, 0), (0, 1))).astype(np.uint8).tobytes()
    eight = gradient(100)[..., 0][::-1]
    four = gradient(16)[..., 0][::-1]
    files = {
        (8, "runs"): b"".join(b"".join(bytes([1, v]) for v in row) + b"\0\0" for row in eight),
        (8, "literals"): b"".join(bytes([0, WIDTH, *row]) + bytes(WIDTH % 2) + b"\0\0" for row in eight),
        (8, "jumps"): b"\0\2\3\2" + b"\5\7\0\0" * 3,
        (8, "whole rows"): b"".join(bytes([WIDTH, y, 0, 0]) for y in range(HEIGHT)),
        (4, "runs"): b"".join(b"".join(bytes([1, v << 4]) for v in row) + b"\0\0" for row in four),
        (4, "jumps"): b"\0\2\3\2" + b"\5\x7a\0\0" * 3,
    }
    for (bits, name), pixels in files.items():
        header = bmp_header(40, bits, {8: 1, 4: 2}[bits], colours=100 if bits == 8 else 16)
        entries = palette[: 4 * (100 if bits == 8 else 16)]
        yield Kind(f"BMP RLE{bits}, {name}", bmp_file(header, entries, pixels + b"\0\1"), None)


def _foreign_bmps() -> Iterator[Kind]:
    """Make sound BMPs of kinds that are refused."""
    sixteen = gradient(2**16)[::-1, :, 0]
    rows = np.pad(sixteen, ((0, 0), (0, WIDTH % 2))).astype("<u2").tobytes()
    yield Kind("BMP 16 bits", bmp_file(bmp_header(40, 16), b"", rows), None)
    for name, masks in (
        ("555", (0x7C00, 0x3E0, 0x1F)),
        ("565", (0xF800, 0x7E0, 0x1F)),
        ("444", (0xF00, 0xF0, 0xF)),
    ):
        packed = struct.pack("<3I", *masks)
        yield Kind(f"BMP 16 bits, {name}", bmp_file(bmp_header(40, 16, 3), packed, rows), None)
        inside = bmp_header(56, 16, 3)
        data = bmp_file(inside[:40] + packed + inside[52:], b"", rows)
        yield Kind(f"BMP header 56, 16 bits, {name}", data, None)
    yield Kind("BMP 2 bits", bmp_file(bmp_header(40, 2, colours=4), bytes(16), bytes(4 * HEIGHT)), None)
    yield Kind("BMP 64 bits", bmp_file(bmp_header(40, 64), b"", bytes(8 * WIDTH * HEIGHT)), None)
    yield Kind("BMP with a JPEG inside", bmp_file(bmp_header(40, 0, 4), b"", b"\xff\xd8\xff\xd9"), None)
    yield Kind("BMP with a PNG inside", bmp_file(bmp_header(40, 0, 5), b"", b"\x89PNG"), None)
    yield Kind("BMP of OS/2, RLE24", bmp_file(bmp_header(64, 24, 4), b"", b"\0\1"), None)
    yield Kind("BMP of OS/2, Huffman", bmp_file(bmp_header(64, 1, 3), bytes(8), b"\0\1"), None)
    yield Kind(
        "BMP of OS/2, short header",
        bmp_file(struct.pack("<IiiHH", 16, WIDTH, HEIGHT, 1, 24), b"", bytes(500)),
        None,
    )
    for name, offset in (("nowhere", 0), ("in its header", 50), ("in its palette", 54)):
        whole = _bmp_kind("", 40, 8).data
        data = whole[:10] + struct.pack("<I", offset) + whole[14:]
        yield Kind(f"BMP whose pixels begin {name}", data, None)
