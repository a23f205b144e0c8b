"""Load a data set, or images without labels, from an `.npz` file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets.dataset import MIN_CLASSES, Dataset, Split
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.untrusted.npz import read_arrays

_MAX_CLASSES = 10_000


def load(path: Path) -> Dataset:
    """Load `x_train`, `y_train`, `x_test` and `y_test`, with `class_names` if present.

    Raises:
        DataError: the file cannot be read, lacks an array, or an array has the wrong type or values.
    """
    try:
        arrays = read_arrays(path)
    except Exception as error:  # NumPy raises many kinds for a damaged archive
        raise DataError(
            f"{path} cannot be read as .npz ({error}): save it with numpy.savez_compressed, or give a folder with one sub-folder per class"
        ) from error
    wanted = ("x_train", "y_train", "x_test", "y_test")
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}: expected x_train and x_test, uint8 (N, H, W) or (N, H, W, C), "
            "y_train and y_test, integers, and optionally class_names"
        )
    train = _split(path, arrays["x_train"], arrays["y_train"])
    test = _split(path, arrays["x_test"], arrays["y_test"])
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    names = tuple(str(name) for name in np.ravel(arrays.get("class_names", np.arange(classes))))
    if max(classes, len(names)) < MIN_CLASSES:
        raise DataError(f"{path} has only one class, expected at least two")
    if len(names) < classes:
        raise DataError(f"{path} names {len(names)} classes but has labels up to {classes - 1}")
    return Dataset(path.stem, names, train, test, "as given by its owner")


def load_pictures(path: Path) -> NDArray[np.uint8]:
    """Load the (N, H, W, C) uint8 `images` of an `.npz` file.

    Raises:
        DataError: the file cannot be read, or `images` is missing or has another type.
    """
    try:
        images = read_arrays(path, ("images",))["images"]
    except Exception as error:  # NumPy raises many kinds for a damaged archive
        raise DataError(f"{path} cannot be read ({error})") from error
    return _split(path, images, np.zeros(len(images) if images.ndim else 0, np.int64)).images


def _split(path: Path, images: NDArray[np.generic], labels: NDArray[np.generic]) -> Split:
    is_image_array = images.dtype == np.uint8 and images.ndim in {3, 4} and images.size > 0
    if not is_image_array or not np.issubdtype(labels.dtype, np.integer) or not labels.size:
        raise DataError(
            f"{path} has images {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}: expected at least "
            "one image, uint8 (N, H, W) or (N, H, W, C), and an integer for each"
        )
    if images.ndim == 3:  # noqa: PLR2004  # N, H, W
        images = images[..., np.newaxis]
    if labels.min() < 0:
        raise DataError(f"{path} has a label below 0")
    if labels.max() >= _MAX_CLASSES:
        raise DataError(f"{path} has the label {labels.max()}, expected less than {_MAX_CLASSES:,}")
    return Split(images.astype(np.uint8, copy=False), labels.reshape(-1).astype(np.int64))
