"""Load data sets by name, folder or `.npz` as uint8 arrays with class names; start at `load`."""

from edge_fm.datasets.class_folders import picture_files
from edge_fm.datasets.class_names import DIGITS, GARMENTS, TRANSLATIONS
from edge_fm.datasets.dataset import (
    Dataset,
    Split,
    is_multiple,
    limited,
    require_shape,
    resized,
)
from edge_fm.datasets.folder import read_pictures, sample
from edge_fm.datasets.loading import NAMES, OpenData, load, open_data, open_whole
from edge_fm.datasets.npz import load_pictures

__all__ = [
    "DIGITS",
    "GARMENTS",
    "NAMES",
    "TRANSLATIONS",
    "Dataset",
    "OpenData",
    "Split",
    "is_multiple",
    "limited",
    "load",
    "load_pictures",
    "open_data",
    "open_whole",
    "picture_files",
    "read_pictures",
    "require_shape",
    "resized",
    "sample",
]
