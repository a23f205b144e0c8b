"""Load a folder of pictures, preprocessed by the runtime as on a device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import near_duplicates
from edge_fm.datasets.class_folders import find_classes, find_layout, require_same_classes
from edge_fm.datasets.content_split import choose_test_part
from edge_fm.datasets.dataset import Dataset, Split
from edge_fm.datasets.folder_pictures import (
    FoundPicture,
    Unreadable,
    find_pictures,
    group_pictures,
    map_in_threads,
)
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError, InputError
from edge_fm_runtime.image import guard, preprocess

_T = TypeVar("_T")
_TEST_SHARE = 0.2
_SAMPLE_SEED = 0
_SAMPLE_BYTES = 256 * 2**20
"""Memory for a part of which a sample suffices; 1,783 pictures of 224x224x3."""

_LEAST_SAMPLE = 200


@dataclass(frozen=True)
class FolderPart:
    """Files of the training or test part of a folder.

    Attributes:
        files: path of each picture.
        labels: (N,) int64 class of each.
        groups: (N,) int64 group of near duplicates of each; see `Split`.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> "FolderPart":
        """Return the files at `indices`, in that order."""
        files = tuple(self.files[index] for index in indices)
        return FolderPart(files, self.labels[indices], self.groups[indices])

    def sample(self, count: int) -> "FolderPart":
        """Return at most `count` random files, in their order; the same ones on every call."""
        return self.take(np.array(sample(range(len(self.files)), count), np.int64))


@dataclass(frozen=True)
class PictureFolder:
    """A folder of class folders, whose pictures are read when they are needed.

    Attributes:
        path: the folder.
        class_names: names of the class folders, sorted.
        train: the training part.
        test: the test part: a fifth of each class, the folder's own, or another folder.
        unreadable: files that were left out.
        near_duplicates: number of pictures that are near duplicates of another of their class.
        test_in_training: number of test pictures that are copies or near duplicates of training pictures.
    """

    path: Path
    class_names: tuple[str, ...]
    train: FolderPart
    test: FolderPart
    unreadable: Unreadable
    near_duplicates: int = 0
    test_in_training: int = 0

    @classmethod
    def open(cls, path: Path, test: Path | None = None) -> "PictureFolder":
        """Find the pictures of a folder, and split them unless there is a test part.

        The folder has one sub-folder per class; or `train` and `test` (or `val`) with the same classes, in
        any case. Names that start with `_` or `.` are no classes. Otherwise the hashes of the files split
        them; see `content_split` for what stays when the folder grows.

        Args:
            path: the folder.
            test: a folder that is the test part; then the whole of `path` is the training part.

        Raises:
            DataError: the folder cannot be read, there are fewer than two classes, a class has no readable
                picture, or the parts have other classes.
        """
        if test is not None and path.resolve() == test.resolve():
            raise DataError(f"{path} cannot be both training and test part: give another folder with --test")
        layout = find_layout(path, test)
        tested, training = layout.test, layout.training
        if test is not None:
            training, tested = (*training, *tested), _test_roots(test)
        classes = find_classes(training, test)
        pictures, unreadable = find_pictures(classes)
        if not tested:
            return cls._split(path, tuple(classes), pictures, unreadable)
        test_classes = find_classes(tested, least=1)
        require_same_classes(classes, test_classes, str(path if test else training[0]), str(tested[0]))
        test_pictures, bad = find_pictures(test_classes)
        groups = group_pictures(pictures)
        return cls(
            path,
            tuple(classes),
            _part(pictures, groups),
            _part(test_pictures, np.arange(len(test_pictures))),
            (*unreadable, *bad),
            _count_grouped(groups),
            _count_known(test_pictures, pictures),
        )

    @classmethod
    def _split(
        cls, path: Path, names: tuple[str, ...], pictures: Sequence[FoundPicture], unreadable: Unreadable
    ) -> "PictureFolder":
        groups = group_pictures(pictures)
        count = _count_grouped(groups)
        labels = np.array([picture.label for picture in pictures], np.int64)
        uniform = [
            label
            for label in range(len(names))
            if len(of_class := groups[labels == label]) > 1 and (of_class == of_class[0]).all()
        ]
        divided = np.isin(labels, uniform)
        groups[divided] = groups.max() + 1 + np.arange(divided.sum())
        chosen = choose_test_part(labels, groups, [picture.digest for picture in pictures], _TEST_SHARE)
        if not chosen.any():
            raise DataError(
                f"{path} has too few pictures for a test part: expected at least two different ones of each class"
            )
        whole = _part(pictures, groups)
        train, test = (whole.take(np.flatnonzero(part)) for part in (~chosen, chosen))
        return cls(path, names, train, test, unreadable, count, int((divided & chosen).sum()))

    @classmethod
    def open_whole(cls, path: Path) -> "PictureFolder":
        """Find the pictures of a folder, all of them in the test part, copies included.

        Raises:
            DataError: the folder cannot be read, there are fewer than two classes, or a class has no readable
                picture.
        """
        layout = find_layout(path)
        classes = find_classes((*layout.training, *layout.test))
        pictures, unreadable = find_pictures(classes, keep_copies=True)
        whole = _part(pictures, np.arange(len(pictures)))
        return cls(path, tuple(classes), whole.sample(0), whole, unreadable)

    def with_classes(self, names: tuple[str, ...]) -> "PictureFolder":
        """Return the folder with its classes in the order of `names`, which are the same ones."""
        places = np.array([names.index(name) for name in self.class_names])
        train, test = (replace(part, labels=places[part.labels]) for part in (self.train, self.test))
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
        parts = [self.train, self.test]
        if sampled:
            parts = [part.sample(_enough(spec)) for part in parts]
        (train, bad), (test, bad_in_test) = (self._read(part, spec, preprocessing) for part in parts)
        kinds = zip(("training", "test"), parts, (self.train, self.test), strict=True)
        taken = [
            f"{len(some.files):,} of {len(whole.files):,} {kind} pictures" for kind, some, whole in kinds
        ]
        is_whole = all(
            len(some.files) == len(whole.files)
            for some, whole in zip(parts, (self.train, self.test), strict=True)
        )
        return Dataset(
            self.path.resolve().name,
            self.class_names,
            train,
            test,
            "as given by its owner",
            (*self.unreadable, *bad, *bad_in_test),
            "" if is_whole else " and ".join(taken),
            self.near_duplicates,
            self.test_in_training,
        )

    def training_sample(self, spec: InputSpec, preprocessing: Preprocess, count: int) -> Split:
        """Read at most `count` random training pictures, the same ones with every preprocessing.

        Raises:
            DataError: none of them can be decoded.
        """
        part = self.train if self.train.files else self.test
        return self._read(part.sample(min(count, _enough(spec))), spec, preprocessing)[0]

    def _read(self, part: FolderPart, spec: InputSpec, preprocessing: Preprocess) -> tuple[Split, Unreadable]:
        images, kept, unreadable = read_pictures(part.files, spec, preprocessing)
        if part.files and not len(images):
            raise DataError(f"{self.path} has no picture that can be decoded: add some")
        return Split(images, part.labels[kept], part.groups[kept]), unreadable


def _test_roots(test: Path) -> tuple[Path, ...]:
    layout = find_layout(test)
    if layout.test:
        raise DataError(
            f"{test} has parts of its own: give --test {layout.test[0]}, or its folder of classes"
        )
    return layout.training


def _part(pictures: Sequence[FoundPicture], groups: NDArray[np.int64]) -> FolderPart:
    labels = np.array([picture.label for picture in pictures], np.int64)
    return FolderPart(tuple(picture.path for picture in pictures), labels, groups)


def _count_grouped(groups: NDArray[np.int64]) -> int:
    """Return the number of pictures that share a group."""
    sizes = np.unique(groups, return_counts=True)[1]
    return int(sizes[sizes > 1].sum())


def _count_known(test: Sequence[FoundPicture], training: Sequence[FoundPicture]) -> int:
    """Return how many test pictures are copies or near duplicates of a training picture of any class."""
    digests = {picture.digest for picture in training}
    greys, others = (np.stack([picture.grey for picture in part]) for part in (test, training))
    known = near_duplicates.alike(greys, np.array([picture.is_large for picture in test]), others)
    return sum(picture.digest in digests or bool(found) for picture, found in zip(test, known, strict=True))


def sample(items: Sequence[_T], count: int) -> Sequence[_T]:
    """Return at most `count` random items, in their order; the same ones on every call."""
    if len(items) <= count:
        return items
    chosen = np.sort(np.random.default_rng(_SAMPLE_SEED).permutation(len(items))[:count])
    return tuple(items[index] for index in chosen)


def read_pictures(
    files: Sequence[Path], spec: InputSpec, preprocessing: Preprocess
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Unreadable]:
    """Return uint8 images (N, height, width, channels), the indices of their files, and those left out."""
    images = np.empty((len(files), *spec.shape), np.uint8)
    kept: list[int] = []
    unreadable: list[tuple[str, str]] = []

    def read(file: Path) -> NDArray[np.uint8] | InputError:
        try:
            return preprocess.tensor_from_bytes(guard.read_file(file), spec, preprocessing)
        except InputError as error:
            return error

    for index, (file, image) in enumerate(zip(files, map_in_threads(read, files), strict=True)):
        if isinstance(image, InputError):
            unreadable.append((str(file), f"{image.status}: {image}"))
        else:
            images[len(kept)] = image
            kept.append(index)
    return images[: len(kept)], np.array(kept, np.int64), tuple(unreadable)


def _enough(spec: InputSpec) -> int:
    """Return how many pictures a sample has."""
    return max(_LEAST_SAMPLE, _SAMPLE_BYTES // (spec.height * spec.width * spec.channels))
