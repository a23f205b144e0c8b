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
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:  # noqa: PLR2004  # N, H, W, C
            raise DataError(
                f"images are {self.images.dtype} {self.images.shape}, expected uint8 (N, H, W, C)"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise DataError(f"{len(self.labels)} labels for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        """Return the images at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])

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
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    licence: str
    unreadable: tuple[tuple[str, str], ...] = ()
    sampled: str = ""

    @property
    def spec(self) -> InputSpec:
        """Height, width and channels of the images."""
        _, height, width, channels = self.train.images.shape
        return InputSpec(height, width, channels)

    def with_classes(self, names: tuple[str, ...]) -> "Dataset":
        """Return the data set with its classes in the order of `names`, which are the same ones."""
        places = np.array([names.index(name) for name in self.class_names])
        train, test = (Split(part.images, places[part.labels]) for part in (self.train, self.test))
        return replace(self, class_names=names, train=train, test=test)

    def split_validation(self, share: float, seed: int) -> tuple[Split, Split]:
        """Split the training part into (training, validation), stratified by class.

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
        counts = np.bincount(self.train.labels, minlength=len(self.class_names))
        if counts.min() < count:
            raise DataError(
                f"{self.name} has {counts.min()} images of {self.class_names[int(counts.argmin())]}, too few for "
                f"{count} folds: choose fewer folds or add images"
            )

    def folds(self, count: int, seed: int) -> Iterator[tuple[Split, Split]]:
        """Yield (rest, fold) of the training part for each fold, stratified by class.

        Raises:
            DataError: see `require_folds`.
        """
        self.require_folds(count)
        rng = np.random.default_rng(seed)
        fold_of = np.empty(len(self.train), np.int64)
        for label in range(len(self.class_names)):
            members = rng.permutation(np.flatnonzero(self.train.labels == label))
            fold_of[members] = np.arange(len(members)) % count
        for fold in range(count):
            yield (
                self.train.take(np.flatnonzero(fold_of != fold)),
                self.train.take(np.flatnonzero(fold_of == fold)),
            )


def stratified(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split into (rest, part) with `share` of each class in `part`, at least one image of two or more."""
    rest, chosen = stratified_indices(split.labels, share, seed)
    return split.take(rest), split.take(chosen)


def stratified_indices(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the rest and of the part, as `stratified` splits."""
    rng = np.random.default_rng(seed)
    part: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(len(members) - 1, max(1, round(len(members) * share)))
        part.append(members[:count])
    chosen = np.sort(np.concatenate(part))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def inverted(dataset: Dataset) -> Dataset:
    """Return a data set with its grey levels inverted."""
    train, test = (
        Split(np.asarray(255 - part.images, np.uint8), part.labels) for part in (dataset.train, dataset.test)
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
    train, test = (Split(resized(part.images, spec), part.labels) for part in (dataset.train, dataset.test))
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
