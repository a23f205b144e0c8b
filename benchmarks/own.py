"""Divide data sets of own classes by person: training pictures, and test pictures of other people.

    EDGE_FM_DATA=DIR python benchmarks/own.py signs 20 /tmp/signs-20     # 20 pictures a class to train on
    edge-fm train /tmp/signs-20/train -o run && edge-fm export run --int8 -o mine.onnx
    edge-fm label /tmp/signs-20/test --model mine.onnx -o labels.csv
    python benchmarks/own.py accuracy labels.csv

`signs` are hand signs of the digits (`signs/students.csv` tells whose), `photos` are garments
(`photos/contributors.csv`). The test pictures are the same for every number of training pictures.
"""

import csv
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

PEOPLE = {"signs": ("students.csv", "student"), "photos": ("contributors.csv", "contributor")}
"""File and column that tell whose each picture is, by data set."""

TEST_SHARE = {"signs": 0.273, "photos": 0.2}
"""Share of the people whose pictures are tested on; about 562 hand signs."""


def pictures(name: str, folder: Path | None = None) -> list[tuple[Path, str, str]]:
    """Return (path, class, person) of each picture of a data set, sorted."""
    root = folder or Path(os.environ["EDGE_FM_DATA"]) / name
    file, column = PEOPLE[name]
    with (root / file).open(newline="", encoding="utf-8") as rows:
        found = [(root / row["path"], row[column]) for row in csv.DictReader(rows)]
    return sorted((path, path.parent.name, person) for path, person in found if path.is_file())


def divide(name: str, count: int, seed: int = 0) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """Return (training, test) pictures with their classes; no person is in both.

    Args:
        name: `signs` or `photos`.
        count: training pictures of each class, drawn at random; a class with fewer gives all.
        seed: seed of the people and of the pictures.
    """
    rng = np.random.default_rng(seed)
    known = pictures(name)
    people = sorted({person for _, _, person in known})
    tested = set(rng.permutation(people)[: round(len(people) * TEST_SHARE[name])].tolist())
    test = [(path, kind) for path, kind, person in known if person in tested]
    by_class: dict[str, list[Path]] = defaultdict(list)
    for path, kind, person in known:
        if person not in tested:
            by_class[kind].append(path)
    training = [
        (paths[index], kind)
        for kind, paths in sorted(by_class.items())
        for index in rng.permutation(len(paths))[:count]
    ]
    return training, test


def link(part: list[tuple[Path, str]], folder: Path) -> None:
    """Lay a part out as a folder with one sub-folder per class, of symbolic links."""
    for path, kind in part:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / path.name).symlink_to(path.resolve())


def accuracy(table: Path) -> tuple[float, int]:
    """Return the share of right labels in a table of `edge-fm label`, and the number of its pictures.

    The right label of a picture is the name of its folder; an `unknown` counts as wrong.
    """
    with table.open(newline="", encoding="utf-8") as file:
        right = [row["label"] == Path(row["path"]).parent.name for row in csv.DictReader(file)]
    return float(np.mean(right)), len(right)


def main() -> None:
    """Lay out a division, or print the accuracy of a table."""
    if sys.argv[1] == "accuracy":
        share, count = accuracy(Path(sys.argv[2]))
        print(f"{share:.4f} of {count} pictures")
        return
    name, count, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    for part, rows in zip(("train", "test"), divide(name, count), strict=True):
        link(rows, out / part)
        print(f"{len(rows):,} pictures in {out / part}")


if __name__ == "__main__":
    main()
