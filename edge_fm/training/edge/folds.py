"""Divide the images of a training into folds, for out-of-fold distillation."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split
from edge_fm.datasets.photographs import Photographs
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.untrusted import bounded_json, typed_json
from edge_fm_runtime.untrusted.regular_file import read_lines, read_text

RECORD = "folds.json"
_RUN = "without-"
MIN_FOLDS, MAX_FOLDS = 2, 1000

_MAX_RECORD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Folds:
    """Fold of each image of a training.

    Attributes:
        count: of folds; each is numbered from 0.
        product_images: (N,) int32, of the data set's training part, without its validation part.
        photographs: (M,) int32, of the photographs to train on, if there are any.
        sha256: of the plan that they are of.
    """

    count: int
    product_images: NDArray[np.int32]
    photographs: NDArray[np.int32] | None
    sha256: str


@dataclass(frozen=True)
class FoldPlan:
    """Division of a training, saved beside its networks.

    Attributes:
        count: of folds, two or more.
        seed: of the training, and so of what it kept for validation.
        catalogue: how many pictures of the data set were trained on.
        mirror: whether the networks know a picture's mirror image for the same thing.
        photographs: the fold of each photograph, by its path relative to the photographs' folder.
    """

    count: int
    seed: int
    catalogue: int
    mirror: bool
    photographs: Mapping[str, int] = field(default_factory=dict, metadata={"added_in": 1})

    def folds(self, training: Split, photographs: Photographs | None, seed: int) -> Folds:
        """Return the fold of every picture of a training on the same data set.

        A photograph that was not there then may be answered for by any network.

        Raises:
            DataError: the training keeps other pictures for validation, or has more or fewer.
        """
        if (self.catalogue, self.seed) != (len(training), seed):
            raise DataError(
                f"the folds were made from {self.catalogue:,} images with seed {self.seed}, and this training has "
                f"{len(training):,} and seed {seed}: use the same seed and validation_share"
            )
        groups = training.groups if training.groups is not None else np.arange(len(training))
        of_group = np.unique(groups, return_inverse=True)[1].reshape(-1)
        numbers = np.random.default_rng([seed, self.count]).permutation(of_group.max() + 1) % self.count
        catalogue = numbers[of_group]
        of = None
        if photographs is not None:
            known = [self.photographs.get(name, i % self.count) for i, name in enumerate(photographs.names)]
            of = np.array(known, np.int32)
        sha256 = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return Folds(self.count, catalogue.astype(np.int32), of, sha256)

    def save(self, folder: Path) -> None:
        """Write `folds.json`."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folds.json`.

        Raises:
            DataError: it is broken.
        """
        try:
            values = bounded_json.loads(read_text(folder / RECORD, _MAX_RECORD_BYTES))
            plan: Self = typed_json.read(cls, values, "folds")
            typed_json.require(MIN_FOLDS <= plan.count <= MAX_FOLDS, f"{plan.count} folds")
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / RECORD} is broken ({error}): train the folds again") from error
        return plan


def product_images_without(fold: int, folds: Folds, training: Split) -> Split:
    """Return what is left of a data set's training part without one fold."""
    return training.take(np.flatnonzero(folds.product_images != fold))


def photographs_without(fold: int, folds: Folds, photographs: Photographs) -> Photographs:
    """Return what is left of the photographs to train on without one fold."""
    if folds.photographs is None:
        return photographs
    return photographs.take(np.flatnonzero(folds.photographs != fold))


def is_resumable(names: frozenset[str]) -> bool:
    """Return whether files of these names are of the training of folds, which goes on where it ended."""
    return all(name == RECORD or name.startswith(_RUN) for name in names)


def runs_of(folder: Path, count: int) -> list[Path]:
    """Return where the network that has not seen each fold is kept."""
    return [folder / f"{_RUN}{fold}" for fold in range(count)]


def read_groups(path: Path) -> dict[str, str]:
    """Return the person of each photograph, by its path relative to the photographs' folder, with `/`.

    Args:
        path: a CSV file with a column `path` and one that says whose the photograph is, under any name.

    Raises:
        DataError: the file cannot be read, or has other columns.
    """
    try:
        rows = csv.reader(read_lines(path))
        columns = next(rows, [])
        if len(columns) != 2 or "path" not in columns:  # noqa: PLR2004  # the path and whose it is
            raise DataError(
                f"{path} has the columns {', '.join(columns) or '(none)'}: it needs two, path and whose the photograph is, such as path,person"
            )
        at = columns.index("path")
        return {row[at]: row[1 - at] for row in rows if row}
    except (OSError, UnicodeDecodeError, csv.Error, IndexError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
