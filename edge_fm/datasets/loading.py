"""The one door to data sets: by name, folder or `.npz`."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from edge_fm.datasets import folder, idx, npz, wardrobe
from edge_fm.datasets.class_names import GARMENTS
from edge_fm.datasets.dataset import Dataset, Split, enlarged
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

_FOLDERS_SPEC = InputSpec(28, 28, 1)


def load(data: str, spec: InputSpec | None = None) -> Dataset:
    """Return a data set.

    Args:
        data: `fashion-mnist`, `mnist`, `wardrobe`, a folder with one sub-folder per class, or an `.npz` file.
        spec: the size and channels that pictures from a folder are brought to, 28x28 grey if None. Pictures that have a size of their
            own are enlarged, as the runtime does it, where it is a whole multiple of theirs, and left as they are where not.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    if data in _NAMED:
        return enlarged(_NAMED[data](), spec)
    path = Path(data)
    if path.is_dir():
        return folder.load(path, spec or _FOLDERS_SPEC)
    if path.suffix == ".npz" and path.is_file():
        return enlarged(npz.load(path), spec)
    if path.is_file():
        raise DataError(
            f"{data!r} is a file but no .npz: give a folder with one sub-folder per class, or an .npz"
        )
    raise DataError(
        f"there is no data set {data!r}: give one of {', '.join(_NAMED)}, a folder with one sub-folder per class, "
        "or an .npz file"
    )


@lru_cache(maxsize=1)
def _load_wardrobe() -> Dataset:
    """Return the drawn garments: over a second's work, which a training asks for once for each of its teachers."""
    train, test = wardrobe.draw_set(per_class=200, seed=1), wardrobe.draw_set(per_class=100, seed=2)
    for array in (*train, *test):
        array.flags.writeable = False  # all who ask share it
    return Dataset("wardrobe", GARMENTS, Split(*train), Split(*test), "MIT, drawn by edge-fm")


_NAMED: dict[str, Callable[[], Dataset]] = {
    "fashion-mnist": idx.load_fashion_mnist,
    "mnist": idx.load_mnist,
    "wardrobe": _load_wardrobe,
}

NAMES = tuple(_NAMED)
"""Data sets that go by a name."""
