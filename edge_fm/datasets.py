"""Data sets by name, folder or `.npz`, as uint8 arrays with class names.

`load` is the one door. Photographs pass through the runtime's own preprocessing, so that a file gives the
same tensor in training and on the device.
"""

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm import wardrobe
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime import guard, preprocess
from edge_fm_runtime.errors import DataError, ExportError, InputError
from edge_fm_runtime.passport import InputSpec, Preprocess

GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Class names of Fashion-MNIST, in its order (https://github.com/zalandoresearch/fashion-mnist)."""

DIGITS = tuple("0123456789")

TRANSLATIONS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    GARMENTS: {
        "ko": ("티셔츠", "바지", "스웨터", "드레스", "코트", "샌들", "셔츠", "스니커즈", "가방", "앵클 부츠"),
    },
}
"""Class names in other languages, by the names that they translate."""

_DEFAULT_SPEC = InputSpec(28, 28, 1)
_FOLDER_TEST_SHARE = 0.2
_FOLDER_SPLIT_SEED = 0
_MIN_CLASSES = 2
_MIN_FOLDS = 2
_IDX_IMAGES, _IDX_LABELS = 2051, 2049


@dataclass(frozen=True)
class Split:
    """Pictures with their classes.

    Attributes:
        images: (N, height, width, channels) uint8 in [0, 255], RGB order for three channels.
        labels: (N,) int64, indices into the data set's class names.
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
        """Return the pictures at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])

    def sample(self, count: int, seed: int) -> "Split":
        """Return at most `count` pictures chosen at random without repetition, the same for the same seed."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(order[:count])


@dataclass(frozen=True)
class Dataset:
    """A training part and a test part that never meet.

    Attributes:
        name: as the user gave it; a folder's or file's name without its path.
        class_names: in the order of the labels.
        train: for training, validation and calibration.
        test: for the last measurement only.
        licence: of the pictures, as far as known.
        unreadable: files that were left out, with the reason.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    licence: str
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def spec(self) -> InputSpec:
        """Height, width and channels of the pictures."""
        _, height, width, channels = self.train.images.shape
        return InputSpec(height, width, channels)

    def split_validation(self, share: float, seed: int) -> tuple[Split, Split]:
        """Return (training, validation), stratified by class; the test part is not touched.

        Args:
            share: of the training part that becomes validation, in (0, 1).
            seed: the same seed gives the same split.
        """
        return _stratified(self.train, share, seed)

    def require_folds(self, count: int) -> None:
        """Refuse a number of folds that the training part cannot be divided into.

        Raises:
            DataError: it is below two, or a class has fewer pictures than there are folds.
        """
        if count < _MIN_FOLDS:
            raise DataError(
                f"{count} folds: expected at least two, one to score on and the others to train on"
            )
        counts = np.bincount(self.train.labels, minlength=len(self.class_names))
        if counts.min() < count:
            raise DataError(
                f"{self.name} has {counts.min()} pictures of {self.class_names[int(counts.argmin())]}, too few for "
                f"{count} folds: give fewer --folds or more pictures"
            )

    def folds(self, count: int, seed: int) -> Iterator[tuple[Split, Split]]:
        """Yield (rest, fold) of the training part for each fold, stratified by class, each picture in one fold.

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


def load(data: str, spec: InputSpec = _DEFAULT_SPEC) -> Dataset:
    """Return a data set.

    Args:
        data: `fashion-mnist`, `mnist`, `wardrobe`, a folder with one sub-folder per class, or an `.npz` file.
        spec: the size and channels that pictures from a folder are brought to.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    if data in _NAMED:
        return _NAMED[data]()
    path = Path(data)
    if path.is_dir():
        return _load_folder(path, spec)
    if path.suffix == ".npz" and path.is_file():
        return _load_npz(path)
    if path.is_file():
        raise DataError(
            f"{data!r} is a file but no .npz: give a folder with one sub-folder per class, or an .npz"
        )
    raise DataError(
        f"there is no data set {data!r}: give one of {', '.join(_NAMED)}, a folder with one sub-folder per class, "
        "or an .npz file"
    )


def _load_fashion_mnist() -> Dataset:
    return _load_idx("fashion-mnist", "fashion_mnist", GARMENTS, "MIT, (c) 2017 Zalando SE")


def _load_mnist() -> Dataset:
    return _load_idx("mnist", "mnist", DIGITS, "CC BY-SA 3.0, Yann LeCun and Corinna Cortes")


def _load_wardrobe() -> Dataset:
    train, test = wardrobe.draw_set(per_class=200, seed=1), wardrobe.draw_set(per_class=100, seed=2)
    return Dataset("wardrobe", GARMENTS, Split(*train), Split(*test), "MIT, drawn by edge-fm")


_NAMED: dict[str, Callable[[], Dataset]] = {
    "fashion-mnist": _load_fashion_mnist,
    "mnist": _load_mnist,
    "wardrobe": _load_wardrobe,
}

NAMES = tuple(_NAMED)
"""Data sets that go by a name."""


def _load_idx(name: str, keras_name: str, class_names: tuple[str, ...], licence: str) -> Dataset:
    folder = _idx_folder(name)
    if folder is not None:
        train = _read_idx_pair(folder, "train")
        test = _read_idx_pair(folder, "t10k")
    else:
        train, test = _load_through_keras(name, keras_name)
    return Dataset(name, class_names, train, test, licence)


def _idx_folder(name: str) -> Path | None:
    root = os.environ.get("EDGE_FM_DATA")
    if not root:
        return None
    folder = Path(root) / name
    return folder if (folder / "train-images-idx3-ubyte.gz").is_file() else None


def _read_idx_pair(folder: Path, part: str) -> Split:
    images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", _IDX_IMAGES)
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", _IDX_LABELS)
    return Split(images[..., np.newaxis], labels.astype(np.int64))


def _read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read an idx file of uint8 (http://yann.lecun.com/exdb/mnist: magic, dimensions, bytes)."""
    try:
        with gzip.open(path) as file:
            data = file.read()
        found = struct.unpack_from(">I", data)[0]
        shape = struct.unpack_from(f">{found & 0xFF}I", data, 4)
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise DataError(f"{path} is no idx file that can be read ({error}): download it again") from error
    if found != magic:
        raise DataError(f"{path} begins with {found}, expected {magic}: it is another kind of idx file")
    return array


def _load_through_keras(name: str, keras_name: str) -> tuple[Split, Split]:
    try:
        keras = import_keras()
    except ExportError:
        raise DataError(
            f"{name} is not in $EDGE_FM_DATA/{name}/ as idx .gz files, and Keras, which could download it, is not "
            "installed: set EDGE_FM_DATA, or run pip install 'edge-fm[train]', or use --data wardrobe"
        ) from None
    try:
        (train_x, train_y), (test_x, test_y) = getattr(keras.datasets, keras_name).load_data()
    except Exception as error:  # whatever the download raises, the user wants the way out
        raise DataError(
            f"{name} could not be downloaded ({error}): put its four idx .gz files into a folder {name}/ and set "
            "EDGE_FM_DATA to the folder above it, or use --data wardrobe, which needs no download"
        ) from error
    return (
        Split(train_x[..., np.newaxis], train_y.astype(np.int64)),
        Split(test_x[..., np.newaxis], test_y.astype(np.int64)),
    )


def _load_folder(folder: Path, spec: InputSpec) -> Dataset:
    classes = sorted(
        child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )
    if len(classes) < _MIN_CLASSES:
        raise DataError(
            f"{folder} holds {len(classes)} sub-folders, expected one for each class and at least two classes"
        )
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    unreadable: list[tuple[str, str]] = []
    for index, name in enumerate(classes):
        count = len(labels)
        for path in sorted((folder / name).rglob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                images.append(preprocess.tensor_from_bytes(guard.read_file(path), spec, Preprocess()))
                labels.append(index)
            except InputError as error:
                unreadable.append((str(path), f"{error.status}: {error}"))
        if len(labels) == count:
            raise DataError(
                f"{folder / name} holds no picture that can be read: add some or remove the folder"
            )
    whole = Split(np.stack(images), np.array(labels, np.int64))
    train, test = _stratified(whole, _FOLDER_TEST_SHARE, _FOLDER_SPLIT_SEED)
    return Dataset(
        folder.resolve().name, tuple(classes), train, test, "as given by its owner", tuple(unreadable)
    )


def _load_npz(path: Path) -> Dataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # np.load raises many kinds for a damaged archive
        raise DataError(f"{path} cannot be read as .npz ({error})") from error
    wanted = ("x_train", "y_train", "x_test", "y_test")
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}: expected x_train and x_test, uint8 (N, H, W) or (N, H, W, C), "
            "y_train and y_test, integers, and optionally class_names"
        )
    train = _npz_split(path, arrays["x_train"], arrays["y_train"])
    test = _npz_split(path, arrays["x_test"], arrays["y_test"])
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    names = tuple(str(name) for name in arrays.get("class_names", range(classes)))
    if max(classes, len(names)) < _MIN_CLASSES:
        raise DataError(f"{path} has one class only, expected at least two")
    if len(names) < classes:
        raise DataError(f"{path} names {len(names)} classes but has labels up to {classes - 1}")
    return Dataset(path.stem, names, train, test, "as given by its owner")


def load_pictures(path: Path) -> NDArray[np.uint8]:
    """Return the (N, height, width, channels) uint8 `images` of an `.npz` file.

    Raises:
        DataError: it cannot be read, or holds no such pictures.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images = np.asarray(file["images"])
    except Exception as error:  # np.load raises many kinds for a damaged archive
        raise DataError(f"{path} cannot be read ({error})") from error
    return Split(images, np.zeros(len(images), np.int64)).images


def _npz_split(path: Path, images: NDArray[np.generic], labels: NDArray[np.generic]) -> Split:
    if images.dtype != np.uint8 or not np.issubdtype(labels.dtype, np.integer) or not len(images):
        raise DataError(
            f"{path} has {len(images)} images of {images.dtype} and labels of {labels.dtype}: expected at least one "
            "image, uint8 in [0, 255], and integers"
        )
    if images.ndim == 3:  # noqa: PLR2004  # N, H, W
        images = images[..., np.newaxis]
    if labels.min() < 0:
        raise DataError(f"{path} has a label below 0")
    return Split(images.astype(np.uint8), labels.reshape(-1).astype(np.int64))


def _stratified(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Return (rest, part); each class gives `share` of its pictures to `part`, at least one if it has two."""
    rng = np.random.default_rng(seed)
    part: list[NDArray[np.int64]] = []
    for label in np.unique(split.labels):
        members = rng.permutation(np.flatnonzero(split.labels == label))
        count = min(len(members) - 1, max(1, round(len(members) * share)))
        part.append(members[:count])
    chosen = np.sort(np.concatenate(part))
    rest = np.setdiff1d(np.arange(len(split)), chosen)
    return split.take(rest), split.take(chosen)


def require_shape(dataset: Dataset, spec: InputSpec) -> None:
    """Refuse a data set whose pictures are not what a model takes.

    Raises:
        DataError: they are not.
    """
    if dataset.spec.shape != spec.shape:
        raise DataError(
            f"{dataset.name} has pictures of {dataset.spec.shape}, the model takes {spec.shape}: "
            "choose the data that it was made for"
        )


def limited(dataset: Dataset, train: int, test: int, seed: int = 0) -> Dataset:
    """Return the data set cut down to at most `train` and `test` pictures, chosen at random."""
    return replace(dataset, train=dataset.train.sample(train, seed), test=dataset.test.sample(test, seed))
