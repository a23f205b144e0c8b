"""PNGs of all colour types, depths and transparencies, made without an image library."""

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.kinds.base import HEIGHT, WIDTH, Kind, Samples, gradient
from tests.pictures import png_chunk


def pngs() -> Iterator[Kind]:
    """Make PNGs of all colour types, depths, transparencies and interlacings, and with chunks to ignore."""
    for colour, depth, is_keyed, is_interlaced in itertools.product(
        (0, 2, 3, 4, 6), (1, 2, 4, 8, 16), (False, True), (False, True)
    ):
        if (
            (colour in {2, 4, 6} and depth < 8)
            or (colour in {4, 6} and is_keyed)
            or (colour, depth) == (3, 16)
        ):
            continue
        name = f"PNG colour {colour}, {depth} bits{', tRNS' * is_keyed}{', interlaced' * is_interlaced}"
        yield _png_kind(name, (colour, depth), is_keyed=is_keyed, is_interlaced=is_interlaced)
    gamma = png_chunk(b"gAMA", struct.pack(">I", 45_455))
    for colour in (0, 2, 3, 6):
        yield _png_kind(f"PNG colour {colour}, gAMA", (colour, 8), around=(gamma, b""))
        yield _png_kind(f"PNG colour {colour}, iCCP", (colour, 8), around=(_profile(), b""))
        yield _png_kind(
            f"PNG colour {colour}, bKGD", (colour, 8), is_keyed=colour != 6, around=(_background(colour), b"")
        )
    for depth in (4, 8):
        samples = gradient(min(2**depth, 50))
        tables, truth = _palette(samples, is_keyed=False, is_short=True)
        yield Kind(
            f"PNG colour 3, {depth} bits, short palette", _file(samples, (3, depth), (tables, b"")), truth
        )
    for depth in (8, 16):
        for colour in (0, 2, 6):
            yield _animated(colour, depth, is_first=True)
            yield _animated(colour, depth, is_first=False)


def _png_kind(
    name: str,
    kind: tuple[int, int],
    *,
    is_keyed: bool = False,
    is_interlaced: bool = False,
    around: tuple[bytes, bytes] = (b"", b""),
) -> Kind:
    """Make a PNG of a colour type and a depth, with chunks before the palette and after the image data."""
    colour, depth = kind
    samples = gradient(min(2**depth, 50) if colour == 3 else 2**depth, _CHANNELS[colour])
    tables, truth = _palette(samples, is_keyed) if colour == 3 else _true_colours(samples, kind, is_keyed)
    return Kind(name, _file(samples, kind, (around[0] + tables, around[1]), is_interlaced), truth)


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel of each colour type (PNG, section 11.2.1)."""


def _file(
    samples: Samples, kind: tuple[int, int], around: tuple[bytes, bytes], is_interlaced: bool = False
) -> bytes:
    """Return a PNG file with chunks before and after its image data."""
    passes = _ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    rows = b"".join(_packed(samples[y::down, x::across], kind[1]) for x, y, across, down in passes)
    fields = struct.pack(">IIBBBBB", WIDTH, HEIGHT, kind[1], kind[0], 0, 0, is_interlaced)
    body = around[0] + png_chunk(b"IDAT", zlib.compress(rows)) + around[1]
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", fields) + body + png_chunk(b"IEND", b"")


def _true_colours(
    samples: Samples, kind: tuple[int, int], is_keyed: bool
) -> tuple[bytes, NDArray[np.float64]]:
    """Return the chunks and the RGBA of samples that are levels."""
    colour, depth = kind
    levels = samples * 255 / (2**depth - 1)
    alpha = levels[..., -1] if colour & 4 else np.full(samples.shape[:2], 255.0)
    rgb = np.broadcast_to(levels[..., : 3 if colour & 2 else 1], (*alpha.shape, 3))
    if not is_keyed:
        return b"", np.dstack([rgb, alpha])
    key = samples[4, 5]
    alpha = np.where((samples == key).all(axis=-1), 0.0, 255.0)
    return png_chunk(b"tRNS", key.astype(">u2").tobytes()), np.dstack([rgb, alpha])


def _palette(
    samples: Samples, is_keyed: bool, *, is_short: bool = False
) -> tuple[bytes, NDArray[np.float64]]:
    """Return the chunks and the RGBA of samples that are indices; those after a short palette are black."""
    used = int(samples.max()) + 1
    entries = gradient(256, 3).reshape(-1, 3)[:used].astype(np.uint8)
    if is_short:
        entries[used // 2 :] = 0
    rgb = entries[samples[..., 0]].astype(float)
    chunks = png_chunk(b"PLTE", entries[: used // 2 if is_short else used].tobytes())
    if not is_keyed:
        return chunks, np.dstack([rgb, np.full(rgb.shape[:2], 255.0)])
    alphas = np.arange(0, 250, 25, dtype=np.uint8)[: used // 2]  # fewer than the palette has
    alpha = np.concatenate([alphas, np.full(256, 255)])[samples[..., 0]].astype(float)
    return chunks + png_chunk(b"tRNS", alphas.tobytes()), np.dstack([rgb, alpha])


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Column, row, and the steps across and down, of each pass (PNG, section 8.1)."""


def _packed(samples: Samples, depth: int) -> bytes:
    """Return the rows of one pass, each with a filter byte of 0."""
    rows = []
    for row in samples.reshape(len(samples), -1) if samples.size else ():
        bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
        rows.append(b"\0" + np.packbits(bits.astype(np.uint8)).tobytes())
    return b"".join(rows)


def _background(colour: int) -> bytes:
    """Return a background of 200, which viewers may use; that of a palette would follow the palette."""
    return b"" if colour == 3 else png_chunk(b"bKGD", b"\0\xc8" * (1 if colour == 0 else 3))


def _profile() -> bytes:
    """Return an iCCP chunk; its profile is empty, which decoders warn of and ignore."""
    return png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(128)))


def _animated(colour: int, depth: int, *, is_first: bool) -> Kind:
    """Return an animated PNG whose still image is its first frame, or is no frame at all."""
    name = f"PNG colour {colour}, {depth} bits, animated, still image {'first' if is_first else 'apart'}"
    control = struct.pack(">IIIIHHBB", WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    other = _packed(gradient(2**depth, _CHANNELS[colour])[::-1], depth)
    before = png_chunk(b"acTL", struct.pack(">II", 2, 0))
    after, number = b"", 0
    if is_first:
        before += png_chunk(b"fcTL", struct.pack(">I", 0) + control)
        number = 1
    for _ in range(1 if is_first else 2):
        after += png_chunk(b"fcTL", struct.pack(">I", number) + control)
        after += png_chunk(b"fdAT", struct.pack(">I", number + 1) + zlib.compress(other))
        number += 2
    return _png_kind(name, (colour, depth), around=(before, after))
