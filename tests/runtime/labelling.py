"""Helpers for the tests of labelling: three images, a run without a listener, its rows."""

import csv
import functools
import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np

from edge_fm_runtime.batch.label import LabelSummary, Model, label
from edge_fm_runtime.batch.options import Options
from tests.pictures import encoded, png_chunk

PNG, DARK, GREY = (encoded(np.full((28, 28), level, np.uint8)) for level in (250, 10, 130))
"""Images that the tiny model labels `light`, `dark`, and `unknown`."""


def quiet(_done: int, _total: int, _made: object) -> None:
    """Ignore progress."""


def run(model: Model, output: Path, *inputs: object, options: Options = Options()) -> LabelSummary:  # noqa: B008
    """Label without a listener."""
    return label(model, list(map(str, inputs)), output, options, quiet)


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a CSV by path."""
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len({row["path"] for row in found}) == len(found)
    return {row["path"]: row for row in found}


def tar_of(members: dict[str, bytes]) -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@functools.cache
def large_png(side: int) -> bytes:
    """Return a valid PNG of side x side black pixels that is small to store and very slow to decode.

    Paeth-filtered 16-bit RGB is the slowest that fits the limits, and takes over two seconds at 11,500 pixels
    square. A grey PNG of that size takes half a second on a fast processor and twice that on a busy one, so
    that a time limit in between would be exceeded at random.
    """
    compressor = zlib.compressobj(1)
    row = b"\x04" + bytes(6 * side)
    rows = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )
