"""What the tests of labelling share: three pictures, a run without a listener, the rows that it made."""

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
"""`light`, `dark`, and `unknown` to the tiny model."""


def quiet(_done: int, _total: int, _made: object) -> None:
    """Listen to nothing."""


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
    """Return a valid PNG of side x side black pixels, Paeth-filtered 16-bit RGB: small to store, large, and very slow to decode.

    The slowest that fits the limits: a grey one of 11,500 pixels square is decoded in half a second by a quick processor,
    and in twice that by a busy one, so whether it exceeds a limit between them is chance. This takes over two seconds.
    """
    compressor = zlib.compressobj(1)
    row = b"\x04" + bytes(6 * side)
    rows = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )
