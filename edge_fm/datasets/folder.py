"""Load a folder with one sub-folder per class, preprocessed by the runtime as on a device."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets.dataset import MIN_CLASSES, Dataset, Split, stratified
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError, InputError
from edge_fm_runtime.image import guard, preprocess

_TEST_SHARE = 0.2
_SPLIT_SEED = 0


def load(folder: Path, spec: InputSpec) -> Dataset:
    """Load the images of a folder, with a fifth of each class as the test part.

    Args:
        folder: folder with one sub-folder per class.
        spec: size and channels of the resulting images.

    Raises:
        DataError: there are fewer than two classes, or a class has no readable image.
    """
    classes = sorted(
        child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )
    if len(classes) < MIN_CLASSES:
        raise DataError(
            f"{folder} has {len(classes)} sub-folders, expected one for each class and at least two classes"
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
            raise DataError(f"{folder / name} has no readable picture: add some or remove the folder")
    whole = Split(np.stack(images), np.array(labels, np.int64))
    train, test = stratified(whole, _TEST_SHARE, _SPLIT_SEED)
    return Dataset(
        folder.resolve().name, tuple(classes), train, test, "as given by its owner", tuple(unreadable)
    )
