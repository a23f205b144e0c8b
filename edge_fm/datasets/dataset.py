"""Labelled images, split into disjoint training and test parts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image import preprocess

MIN_CLASSES = 2
_MIN_FOLDS = 2


@dataclass(frozen=True)
class Split:
    """Labelled images.

    Attributes:
        images: (N, H, W, C) uint8 in [0, 255], RGB order for three channels.
        labels: (N,) int64 indices into the data set's class names.
        groups: (N,) int64 number of the group of near duplicates that each image belongs to; None if unknown.
            Validation parts and folds never divide a group.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:  # noqa: PLR2004  # N, H, W, C
            raise DataError(
                f"images are {self.images.dtype} {self.images.shape}, expected uint8 (N, H, W, C)"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise DataError(f"{len(self.labels)} labels for {len(self.images)} images")
        if self.groups is not None and self.groups.shape != self.labels.shape:
            raise DataError(f"{len(self.groups)} groups for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        """Return the images at `indices`, in that order."""
        groups = self.groups[indices] if self.groups is not None else None
        return Split(self.images[indices], self.labels[indices], groups)

    def sample(self, count: int, seed: int) -> "Split":
        """Return at most `count` random images without repetition, the same for the same seed."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(order[:count])


@dataclass(frozen=True)
class Dataset:
    """Disjoint training and test parts of labelled images.

    Attributes:
        name: name of a built-in data set, or file name of a folder or archive without its path.
        class_names: class names, in the order of the labels.
        train: training part, which also supplies validation and calibration images.
        test: test part, for the final measurement only.
        licence: licence of the images, as far as known.
        unreadable: (path, reason) of each file that was skipped.
        sampled: which pictures of a large folder were taken, in words; empty if all.
        near_duplicates: number of pictures of a folder that are near duplicates of another of their class;
            each group of them is in one part, but a class of one group only is divided.
        test_in_training: number of test pictures that are copies or near duplicates of training pictures.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    licence: str
    unreadable: tuple[tuple[str, str], ...] = ()
    sampled: str = ""
    near_duplicates: int = 0
    test_in_training: int = 0

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Group of near duplicates of each training image; None if unknown."""
        return self.train.groups

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """Number of (training, test) images of each class, (classes, 2)."""
        parts = (self.train.labels, self.test.labels)
        return np.stack([np.bincount(part, minlength=len(self.class_names)) for part in parts], axis=1)

    @property
    def spec(self) -> InputSpec:
        """Height, width and channels of the images."""
        _, height, width, channels = self.train.images.shape
        return InputSpec(height, width, channels)

    def with_classes(self, names: tuple[str, ...]) -> "Dataset":
        """Return the data set with its classes in the order of `names`, which are the same ones."""
        places = np.array([names.index(name) for name in self.class_names])
        train, test = (replace(part, labels=places[part.labels]) for part in (self.train, self.test))
        return replace(self, class_names=names, train=train, test=test)

    def whole(self) -> "Dataset":
        """Return the data set with all of its images in the test part, and the training part as it is."""
        images, labels = (
            np.concatenate([getattr(part, name) for part in (self.train, self.test)])
            for name in ("images", "labels")
        )
        return replace(self, test=Split(images, labels))

    def split_validation(self, share: float, seed: int) -> tuple[Split, Split]:
        """Split the training part into (training, validation), stratified by class; groups stay together.

        Args:
            share: fraction of the training part for validation, in (0, 1).
            seed: seed of the random split.
        """
        return stratified(self.train, share, seed)

    def require_folds(self, count: int) -> None:
        """Check that the training part can be divided into `count` folds.

        Raises:
            DataError: `count` is below two, or a class has fewer images than `count`.
        """
        if count < _MIN_FOLDS:
            raise DataError(
                f"{count} folds: expected at least two, one to validate on and the others to train on"
            )
        labels, kind = self.train.labels, "images"
        if self.groups is not None:
            labels, kind = labels[np.unique(self.groups, return_index=True)[1]], "different images"
        counts = np.bincount(labels, minlength=len(self.class_names))
        if counts.min() < count:
            raise DataError(
                f"{self.name} has {counts.min()} {kind} of {self.class_names[int(counts.argmin())]}, too few for "
                f"{count} folds: choose fewer folds or add images"
            )

    def folds(self, count: int, seed: int) -> Iterator[tuple[Split, Split]]:
        """Yield (rest, fold) of the training part for each fold, stratified by class; groups stay together.

        Raises:
            DataError: see `require_folds`.
        """
        for rest, fold in self.fold_indices(count, seed):
            yield self.train.take(rest), self.train.take(fold)

    def fold_indices(self, count: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the indices of (rest, fold) in the training part, as `folds` divides it.

        Raises:
            DataError: see `require_folds`.
        """
        self.require_folds(count)
        rng = np.random.default_rng(seed)
        fold_of = np.empty(len(self.train), np.int64)
        for label in range(len(self.class_names)):
            members = rng.permutation(np.flatnonzero(self.train.labels == label))
            fold_of[members] = _fold_numbers(self._groups_of(members), count)
        for fold in range(count):
            yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)

    def _groups_of(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.groups[members] if self.groups is not None else members


def _fold_numbers(groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return a fold for each member of a class: each group, the largest first, goes to the emptiest fold."""
    _, first, inverse, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    filled, fold_of = np.zeros(count, np.int64), np.empty(len(sizes), np.int64)
    for group in np.lexsort((first, -sizes)):
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[inverse.reshape(-1)], np.int64)


def stratified(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split into (rest, part) with `share` of each class in `part`, at least one image of two or more.

    Groups stay together; a class that is one group is divided all the same.
    """
    rest, chosen = stratified_indices(split.labels, share, seed, split.groups)
    return split.take(rest), split.take(chosen)


def stratified_indices(
    labels: NDArray[np.int64], share: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the rest and of the part, as `stratified` splits."""
    rng = np.random.default_rng(seed)
    part: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(len(members) - 1, max(1, round(len(members) * share)))
        part.append(members[:count] if groups is None else _whole_groups(members, groups[members], count))
    chosen = np.sort(np.concatenate(part))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def _whole_groups(members: NDArray[np.int64], groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` members of a class as whole groups, in their order; at least one group."""
    _, first, inverse, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    if len(sizes) == 1:
        return members[:count]
    chosen, total = np.zeros(len(sizes), bool), 0
    for group in np.argsort(first):
        if total + sizes[group] <= count:
            chosen[group] = True
            total += sizes[group]
    if count and not chosen.any():
        chosen[sizes.argmin()] = True
    return members[chosen[inverse.reshape(-1)]]


def inverted(dataset: Dataset) -> Dataset:
    """Return a data set with its grey levels inverted."""
    train, test = (
        replace(part, images=np.asarray(255 - part.images, np.uint8))
        for part in (dataset.train, dataset.test)
    )
    return replace(dataset, train=train, test=test)


def require_shape(dataset: Dataset, spec: InputSpec) -> None:
    """Check that a data set's images have the shape of a model's input.

    Raises:
        DataError: the shapes differ.
    """
    if dataset.spec.shape != spec.shape:
        raise DataError(
            f"{dataset.name} has images of {dataset.spec.shape}, and the model takes {spec.shape}: "
            "choose the data that the model was made for"
        )


def enlarge(dataset: Dataset, spec: InputSpec | None) -> Dataset:
    """Return a data set with its images enlarged as in the runtime, if `spec` is a multiple of their size.

    Other sizes are ambiguous: a network for 32x32 may have been trained on padded 28x28 images.
    """
    if spec is None or not is_multiple(spec, dataset.spec):
        return dataset
    train, test = (replace(part, images=resized(part.images, spec)) for part in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=test)


def resized(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Resize (N, H, W, C) images: enlarge as the runtime does, or shrink by area averaging.

    Images stay unchanged where neither size is a whole multiple of the other.
    """
    count, height, width, channels = images.shape
    own = InputSpec(height, width, channels)
    if is_multiple(spec, own):
        bare = images[..., 0] if channels == 1 else images
        return np.stack([preprocess.tensor_from_image(image, spec, Preprocess()) for image in bare])
    if not is_multiple(own, spec):
        return images
    blocks = images.reshape(
        count, spec.height, height // spec.height, spec.width, width // spec.width, channels
    )
    return np.asarray(np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)), np.uint8)


def is_multiple(larger: InputSpec, smaller: InputSpec) -> bool:
    """Whether `larger` is `smaller` times a whole number above 1, the same for height and width."""
    times = larger.height // smaller.height
    return times > 1 and larger.shape == (smaller.height * times, smaller.width * times, smaller.channels)


def limited(dataset: Dataset, train: int, test: int, seed: int = 0) -> Dataset:
    """Return a random subset of at most `train` training and `test` test images."""
    return replace(dataset, train=dataset.train.sample(train, seed), test=dataset.test.sample(test, seed))
