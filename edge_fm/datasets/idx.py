"""Load Fashion-MNIST and MNIST from idx files in `$EDGE_FM_DATA/<name>/`, or download them with Keras."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets.class_names import DIGITS, GARMENTS
from edge_fm.datasets.dataset import Dataset, Split
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError, ExportError
from edge_fm_runtime.untrusted.regular_file import open_file

_IMAGES, _LABELS = 2051, 2049
_MAX_BYTES = 512 * 2**20


def load_fashion_mnist() -> Dataset:
    """Load Fashion-MNIST, 60,000 training and 10,000 test images (Xiao et al., 2017, arXiv:1708.07747)."""
    return _load("fashion-mnist", "fashion_mnist", GARMENTS, "MIT, (c) 2017 Zalando SE")


def load_mnist() -> Dataset:
    """Load MNIST, 60,000 training and 10,000 test images (LeCun et al., 1998)."""
    return _load("mnist", "mnist", DIGITS, "CC BY-SA 3.0, Yann LeCun and Corinna Cortes")


def _load(name: str, keras_name: str, class_names: tuple[str, ...], licence: str) -> Dataset:
    folder = _folder(name)
    if folder is not None:
        train = _read_pair(folder, "train")
        test = _read_pair(folder, "t10k")
    else:
        train, test = _through_keras(name, keras_name)
    return Dataset(name, class_names, train, test, licence)


def _folder(name: str) -> Path | None:
    root = os.environ.get("EDGE_FM_DATA")
    if not root:
        return None
    folder = Path(root) / name
    return folder if (folder / "train-images-idx3-ubyte.gz").is_file() else None


def _read_pair(folder: Path, part: str) -> Split:
    images = _read(folder / f"{part}-images-idx3-ubyte.gz", _IMAGES)
    labels = _read(folder / f"{part}-labels-idx1-ubyte.gz", _LABELS)
    return Split(images[..., np.newaxis], labels.astype(np.int64))


def _read(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read an idx file of uint8 (http://yann.lecun.com/exdb/mnist: magic, dimensions, bytes)."""
    try:
        with open_file(path) as packed, gzip.open(packed) as file:
            data = file.read(_MAX_BYTES)  # no file of these data sets is longer
        found = struct.unpack_from(">I", data)[0]
        shape = struct.unpack_from(f">{found & 0xFF}I", data, 4)
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, struct.error, ValueError, zlib.error) as error:
        raise DataError(f"{path} is not a readable idx file ({error}): download it again") from error
    if found != magic:
        raise DataError(
            f"{path} begins with magic number {found}, expected {magic}: it is another kind of idx file"
        )
    return array


def _through_keras(name: str, keras_name: str) -> tuple[Split, Split]:
    try:
        keras = import_keras()
    except ExportError:
        raise DataError(
            f"{name} is not in $EDGE_FM_DATA/{name}/ as idx .gz files, and Keras, which downloads it, is not "
            "installed: set EDGE_FM_DATA, run pip install 'edge-fm[train]', or use the data set wardrobe"
        ) from None
    try:
        (train_x, train_y), (test_x, test_y) = getattr(keras.datasets, keras_name).load_data()
    except Exception as error:  # a download can raise anything; every failure has the same remedy
        raise DataError(
            f"{name} could not be downloaded ({error}): put its four idx .gz files into a folder {name}/ and set "
            "EDGE_FM_DATA to the folder above it, or use the data set wardrobe, which needs no download"
        ) from error
    return (
        Split(train_x[..., np.newaxis], train_y.astype(np.int64)),
        Split(test_x[..., np.newaxis], test_y.astype(np.int64)),
    )
