"""Load a data set by name, folder or `.npz`."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from edge_fm.datasets import folder, idx, npz, wardrobe
from edge_fm.datasets.class_names import GARMENTS
from edge_fm.datasets.dataset import Dataset, Split, enlarge
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

_FOLDERS_SPEC = InputSpec(28, 28, 1)


def load(data: str, spec: InputSpec | None = None) -> Dataset:
    """Load a data set.

    Args:
        data: `fashion-mnist`, `mnist`, `wardrobe`, a folder with one sub-folder per class, or an `.npz` file.
        spec: size and channels of the images of a folder, 28x28 grey if None. Images of a named data set or
            an archive are enlarged to it, as in the runtime, if it is a whole multiple of their size;
            otherwise they keep their size.

    Raises:
        DataError: there is no such data set, or it cannot be used.
    """
    if data in _NAMED:
        return enlarge(_NAMED[data](), spec)
    path = Path(data)
    if path.is_dir():
        return folder.load(path, spec or _FOLDERS_SPEC)
    if path.suffix == ".npz" and path.is_file():
        return enlarge(npz.load(path), spec)
    if path.is_file():
        raise DataError(
            f"{data!r} is a file but not an .npz: give a folder with one sub-folder per class, or an .npz file"
        )
    raise DataError(
        f"there is no data set {data!r}: give one of {', '.join(_NAMED)}, a folder with one sub-folder per class, "
        "or an .npz file"
    )


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
