"""Load a folder of pictures, preprocessed by the runtime as on a device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets.dataset import MIN_CLASSES, Dataset, Split, stratified_indices
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError, InputError
from edge_fm_runtime.image import guard, preprocess

_T = TypeVar("_T")
_TEST_SHARE = 0.2
_SPLIT_SEED = 0
_SAMPLE_BYTES = 256 * 2**20
"""Memory for a part of which a sample suffices; 1,783 pictures of 224x224x3."""

_LEAST_SAMPLE = 200

Unreadable = tuple[tuple[str, str], ...]
"""(path, reason) of each file that was left out."""


@dataclass(frozen=True)
class PictureFolder:
    """A folder with one sub-folder per class, whose pictures are read when they are needed.

    Attributes:
        path: the folder.
        class_names: names of the sub-folders, sorted.
        train: (file, label) of the training part.
        test: the same of the test part, a fifth of each class.
        unreadable: files that are no pictures.
    """

    path: Path
    class_names: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]
    unreadable: Unreadable

    @classmethod
    def open(cls, path: Path) -> "PictureFolder":
        """Find the pictures of a folder and split them.

        Raises:
            DataError: there are fewer than two classes, or a class has no readable image.
        """
        classes = sorted(
            child.name for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")
        )
        if len(classes) < MIN_CLASSES:
            raise DataError(
                f"{path} has {len(classes)} sub-folders, expected one for each class and at least two classes"
            )
        files: list[tuple[Path, int]] = []
        unreadable: list[tuple[str, str]] = []
        for label, name in enumerate(classes):
            count = len(files)
            for file in picture_files(path / name):
                try:
                    guard.check(guard.read_file(file))
                    files.append((file, label))
                except InputError as error:
                    unreadable.append((str(file), f"{error.status}: {error}"))
            if len(files) == count:
                raise DataError(f"{path / name} has no readable picture: add some or remove the folder")
        labels = np.array([label for _, label in files], np.int64)
        rest, chosen = stratified_indices(labels, _TEST_SHARE, _SPLIT_SEED)
        if not len(chosen):
            raise DataError(
                f"{path} has too few pictures for a test part: expected at least two of each class"
            )
        train, test = (tuple(files[index] for index in part) for part in (rest, chosen))
        return cls(path, tuple(classes), train, test, tuple(unreadable))

    def with_classes(self, names: tuple[str, ...]) -> "PictureFolder":
        """Return the folder with its classes in the order of `names`, which are the same ones."""
        places = [names.index(name) for name in self.class_names]
        train, test = (
            tuple((file, places[label]) for file, label in part) for part in (self.train, self.test)
        )
        return replace(self, class_names=names, train=train, test=test)

    def load(self, spec: InputSpec, preprocessing: Preprocess, *, sampled: bool = False) -> Dataset:
        """Read the pictures.

        Args:
            spec: size and channels of the resulting images.
            preprocessing: how they become the input.
            sampled: whether a random sample of each part suffices, if the whole takes much memory.

        Raises:
            DataError: a part has no picture that can be decoded.
        """
        parts = [sample(part, _enough(spec)) if sampled else part for part in (self.train, self.test)]
        (train, bad), (test, bad_in_test) = (self._read(part, spec, preprocessing) for part in parts)
        kinds = zip(("training", "test"), parts, (self.train, self.test), strict=True)
        taken = [f"{len(some):,} of {len(whole):,} {kind} pictures" for kind, some, whole in kinds]
        return Dataset(
            self.path.resolve().name,
            self.class_names,
            train,
            test,
            "as given by its owner",
            (*self.unreadable, *bad, *bad_in_test),
            "" if parts == [self.train, self.test] else " and ".join(taken),
        )

    def training_sample(self, spec: InputSpec, preprocessing: Preprocess, count: int) -> Split:
        """Read at most `count` random training pictures, the same ones with every preprocessing.

        Raises:
            DataError: none of them can be decoded.
        """
        return self._read(sample(self.train, min(count, _enough(spec))), spec, preprocessing)[0]

    def _read(
        self, part: Sequence[tuple[Path, int]], spec: InputSpec, preprocessing: Preprocess
    ) -> tuple[Split, Unreadable]:
        images, kept, unreadable = read_pictures([file for file, _ in part], spec, preprocessing)
        if not len(images):
            raise DataError(f"{self.path} has no picture that can be decoded: add some")
        labels = np.array([label for _, label in part], np.int64)
        return Split(images, labels[kept]), unreadable


def picture_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its sub-folders that are not hidden, sorted."""
    for file in sorted(folder.rglob("*")):
        if not file.name.startswith(".") and file.is_file():
            yield file


def sample(items: Sequence[_T], count: int) -> Sequence[_T]:
    """Return at most `count` random items, in their order; the same ones on every call."""
    if len(items) <= count:
        return items
    chosen = np.sort(np.random.default_rng(_SPLIT_SEED).permutation(len(items))[:count])
    return tuple(items[index] for index in chosen)


def read_pictures(
    files: Sequence[Path], spec: InputSpec, preprocessing: Preprocess
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Unreadable]:
    """Return uint8 images (N, height, width, channels), the indices of their files, and those left out."""
    images = np.empty((len(files), *spec.shape), np.uint8)
    kept: list[int] = []
    unreadable: list[tuple[str, str]] = []
    for index, file in enumerate(files):
        try:
            images[len(kept)] = preprocess.tensor_from_bytes(guard.read_file(file), spec, preprocessing)
            kept.append(index)
        except InputError as error:
            unreadable.append((str(file), f"{error.status}: {error}"))
    return images[: len(kept)], np.array(kept, np.int64), tuple(unreadable)


def _enough(spec: InputSpec) -> int:
    """Return how many pictures a sample has."""
    return max(_LEAST_SAMPLE, _SAMPLE_BYTES // (spec.height * spec.width * spec.channels))
