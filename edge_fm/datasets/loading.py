"""Load a data set by name, folder or `.npz`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from edge_fm.datasets import idx, npz, wardrobe
from edge_fm.datasets.class_names import GARMENTS
from edge_fm.datasets.dataset import Dataset, Split, enlarge, inverted
from edge_fm.datasets.folder import PictureFolder
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity, Preprocess
from edge_fm_runtime.errors import DataError

_FOLDERS_SPEC = InputSpec(28, 28, 1)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_AS_TRAINED = Preprocess()
"""Preprocessing of the models that are trained here."""


@dataclass(frozen=True)
class OpenData:
    """A data set whose images are read when the preprocessing is known.

    Attributes:
        source: a folder, or images that have a size of their own.
        spec: size and channels to load.
    """

    source: PictureFolder | Dataset
    spec: InputSpec | None

    @property
    def name(self) -> str:
        """Name of the data set, or path of the folder."""
        return str(self.source.path) if isinstance(self.source, PictureFolder) else self.source.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.source.class_names

    @property
    def is_folder(self) -> bool:
        """Whether its images are pictures of a folder, as a device may get them."""
        return isinstance(self.source, PictureFolder)

    def with_classes(self, names: tuple[str, ...]) -> "OpenData":
        """Return the data set with its classes in the order of `names`, if they are the same ones."""
        if names == self.class_names or sorted(names) != sorted(self.class_names):
            return self
        return replace(self, source=self.source.with_classes(names))

    def load(self, preprocess: Preprocess = _AS_TRAINED, *, sampled: bool = False) -> Dataset:
        """Load the images.

        Args:
            preprocess: fit of a folder's pictures, and polarity.
            sampled: whether a random sample of a folder suffices where the whole takes much memory.

        Raises:
            DataError: no image can be decoded.
        """
        if isinstance(self.source, PictureFolder):
            return self.source.load(self.spec or _FOLDERS_SPEC, preprocess, sampled=sampled)
        whole = enlarge(self.source, self.spec)
        return inverted(whole) if preprocess.polarity is Polarity.INVERT else whole

    def training_sample(self, fit: Fit, count: int) -> Split:
        """Load training images, shuffled and not inverted: `count` of a folder, else all.

        Raises:
            DataError: no image can be decoded.
        """
        if isinstance(self.source, PictureFolder):
            part = self.source.training_sample(self.spec or _FOLDERS_SPEC, Preprocess(fit=fit), count)
        else:
            part = enlarge(self.source, self.spec).train
        return part.sample(len(part), seed=0)


def load(
    data: str, spec: InputSpec | None = None, preprocess: Preprocess = _AS_TRAINED, test: Path | None = None
) -> Dataset:
    """Load a data set.

    Args:
        data: `fashion-mnist`, `mnist`, `wardrobe`, a folder with one sub-folder per class, or an `.npz` file.
        spec: size and channels of the images of a folder, 28x28 grey if None. Images of a named data set or
            an archive are enlarged to it, as in the runtime, if it is a whole multiple of their size;
            otherwise they keep their size.
        preprocess: fit of a folder's pictures; polarity of all images.
        test: for a folder, another one with the same classes that is the test part; the whole of `data` is
            the training part then.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    return open_data(data, spec, test).load(preprocess)


def open_data(data: str, spec: InputSpec | None = None, test: Path | None = None) -> OpenData:
    """Open a data set, with the pictures of a folder found but not loaded; see `load`.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    path = Path(data)
    if test is not None:
        if data in _NAMED or not path.is_dir():
            raise DataError(f"--test is for a folder, and {data} has a test part of its own: leave it out")
        if not test.is_dir():
            raise DataError(f"--test {test} is no folder: give one with one sub-folder of pictures per class")
    if data in _NAMED:
        return OpenData(_NAMED[data](), spec)
    if path.is_dir():
        return OpenData(PictureFolder.open(path, test), spec)
    if path.suffix == ".npz" and path.is_file():
        return OpenData(npz.load(path), spec)
    if path.is_file() and path.name.lower().endswith(_ARCHIVES):
        raise DataError(
            f"{data!r} is an archive: unpack it, and give the folder with one sub-folder per class"
        )
    if path.is_file():
        raise DataError(
            f"{data!r} is a file but not an .npz: give a folder with one sub-folder per class, or an .npz file"
        )
    raise DataError(
        f"there is no data set {data!r}: give one of {', '.join(_NAMED)}, a folder with one sub-folder per class, "
        "or an .npz file"
    )


def open_whole(data: str, spec: InputSpec | None = None) -> OpenData:
    """Open a data set with all of its images in the test part, to measure a model on.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    path = Path(data)
    if data not in _NAMED and path.is_dir():
        return OpenData(PictureFolder.open_whole(path), spec)
    opened = open_data(data, spec)
    if isinstance(opened.source, Dataset):
        return replace(opened, source=opened.source.whole())
    return opened


@lru_cache(maxsize=1)
def _load_wardrobe() -> Dataset:
    """Draw the wardrobe; cached, because it takes over a second and each teacher loads it again."""
    train, test = wardrobe.draw_set(per_class=200, seed=1), wardrobe.draw_set(per_class=100, seed=2)
    for array in (*train, *test):
        array.flags.writeable = False  # all callers share the arrays
    return Dataset("wardrobe", GARMENTS, Split(*train), Split(*test), "MIT, drawn by edge-fm")


_NAMED: dict[str, Callable[[], Dataset]] = {
    "fashion-mnist": idx.load_fashion_mnist,
    "mnist": idx.load_mnist,
    "wardrobe": _load_wardrobe,
}

NAMES = tuple(_NAMED)
"""Names of the built-in data sets."""
