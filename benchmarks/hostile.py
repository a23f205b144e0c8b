"""Label thousands of hostile files and check that each has one row and that nothing crashes.

    python benchmarks/hostile.py [--files 10000] [--corpus DIR ...]

The script makes the files: mutations and truncations of every format and kind, huge sizes in headers,
decompression bombs, wrong suffixes, empty files and unusual valid files. Each kind of `tests/kinds` is also
there as it is, and must have a label, or be `unsupported` if edge-fm does not read it. `--corpus` adds other
files. PngSuite's files whose names start with x are broken and must have no label; all others must have one.
"""

import argparse
import csv
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from edge_fm.datasets import wardrobe
from edge_fm_runtime.image.opencv import cv2
from tests.kinds.bmp import bmps
from tests.kinds.photo import jpegs, webps
from tests.kinds.png import pngs
from tests.pictures import png_chunk

KINDS = [*pngs(), *bmps(), *jpegs(), *webps()]


def png(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """Return a PNG file with any size in its header."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    )


def bombs() -> list[bytes]:
    """Return files that decode, or claim to decode, to far more than their size."""
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes())
    frame = jpeg.index(b"\xff\xc0")
    made = []
    for height, width in ((65535, 65535), (20000, 20000), (11000, 11000), (65535, 1), (0, 64)):
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        made.append(bytes(jpeg))
    made += [
        png(side, side, data=zlib.compress(bytes(min(side + 1, 60_000) * 1000), 9))
        for side in (2**31 - 1, 60_000, 11_500)
    ]
    made.append(png(11_000, 11_000, data=zlib.compress(bytes(11_001 * 11_000), 9)))  # valid, 121 megapixels
    made.append(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0" * 13) + png_chunk(b"tEXt", b"", 2**31 - 1))
    made.append(
        png(4, 4)[:-12]
        + png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000), 9))
        + png_chunk(b"IEND", b"")
    )
    made.append(b"RIFF" + struct.pack("<I", 2**31) + b"WEBPVP8X" + b"\xff" * 20)
    made.append(b"BM" + struct.pack("<IIIIii", 60, 0, 54, 40, 2**31 - 1, -(2**31)) + b"\0" * 40)
    return made


def mutated(seeds: list[bytes], dice: random.Random) -> bytes:
    """Return a seed file with bytes changed, inserted, removed or truncated."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 8)):
        kind, at = dice.randrange(5), dice.randrange(len(data) or 1)
        if kind == 0 and data:
            data[at] = dice.randrange(256)
        elif kind == 1:
            data = data[: at + 1]
        elif kind == 2:
            data[at:at] = dice.randbytes(dice.randint(1, 40))
        elif kind == 3:
            del data[at : at + dice.randint(1, 40)]
        else:
            data[at : at + 4] = struct.pack(">I", dice.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF]))
    return bytes(data)


def make(folder: Path, count: int) -> None:
    """Write the files."""
    rng, dice = np.random.default_rng(0), random.Random(0)  # noqa: S311  # not secrets
    grey, colour = wardrobe.draw(9, rng, 96), rng.integers(0, 256, (70, 90, 3), np.uint8)
    alpha = rng.integers(0, 256, (40, 50, 4), np.uint8)
    seeds = [
        cv2.imencode(s, i)[1].tobytes() for s in (".jpg", ".png", ".webp", ".bmp") for i in (grey, colour)
    ]
    seeds += [cv2.imencode(s, alpha)[1].tobytes() for s in (".png", ".webp")]
    seeds += [cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()]
    seeds += [cv2.imencode(".png", rng.integers(0, 65536, (30, 30), np.uint16))[1].tobytes()]
    seeds += [kind.data for kind in KINDS]
    special = [*bombs(), b"", b"\0" * 100, b"\xff\xd8\xff", b"GIF89a", b"%PDF-1.4", b"text", b"\xff" * 5000]
    suffixes = (".jpg", ".png", ".webp", ".bmp", ".txt", "", ".JPG", ".heic")
    for index in range(count):
        data = (
            special[index]
            if index < len(special)
            else mutated(seeds, dice)
            if index % 10
            else dice.choice(seeds)
        )
        (folder / f"{index:05}{dice.choice(suffixes)}").write_bytes(data)
    kinds = folder / "kinds"
    kinds.mkdir()
    for index, kind in enumerate(KINDS):
        (kinds / str(index)).write_bytes(kind.data)


def fault(row: dict[str, str]) -> str:
    """Return what is wrong with the row of a file whose status is known beforehand, or nothing."""
    path, is_labelled = Path(row["path"]), row["status"] in {"ok", "unknown"}
    if path.parent.name == "kinds":
        kind = KINDS[int(path.name)]
        is_right = row["status"] == "unsupported" if kind.truth is None else is_labelled
        return "" if is_right else f"{kind.name} is {row['status']}"
    if "pngsuite" in path.parts and path.suffix == ".png" and is_labelled == path.name.startswith("x"):
        return f"{path.name} is {row['status']}"
    return ""


def main() -> None:
    """Run and print the counts; exit with code 1 after a failure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--corpus", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = work / "files"
        folder.mkdir()
        make(folder, options.files)
        inputs = [folder, *options.corpus]
        expected = sum(p.is_file() and not p.name.startswith(".") for i in inputs for p in i.rglob("*"))
        command = [sys.executable, "-m", "edge_fm", "label", *map(str, inputs), "-o", str(work / "out.csv")]
        started = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode not in {0, 1}:
            wrong.append(f"the parent ended with {done.returncode}: {done.stderr}")
        with (work / "out.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if len({row["path"] for row in rows}) != expected or len(rows) != expected:
        wrong.append(f"{len(rows)} rows for {expected} files")
    wrong += filter(None, map(fault, rows))
    print(f"{len(rows):,} files in {seconds:.1f} s: {dict(Counter(row['status'] for row in rows))}")
    print("\n".join(wrong) or "one row each, the parent did not crash, kinds and PngSuite are as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
