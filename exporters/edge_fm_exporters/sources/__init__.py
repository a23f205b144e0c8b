"""Read trained models: one module per format, told apart by `identify`.

A module of a format has `load(path, size) -> SourceModel`.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.identify import identify
from edge_fm_exporters.sources.label_files import read_label_file
from edge_fm_exporters.sources.unpack import unpack

__all__ = ["SourceModel", "digest", "load"]

_CHUNK = 2**20


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a trained image classifier.

    Args:
        path: file or folder of a format that `identify` knows; a zip archive may hold one with its labels.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it cannot be used.
    """
    found = identify(path)
    reader: Callable[[Path, tuple[int, int] | None], SourceModel] = import_module(
        f"{__name__}.{found.module}"
    ).load
    if not found.members:
        return reader(found.path, size)
    with tempfile.TemporaryDirectory() as folder:
        files = unpack(path, found.members, Path(folder))
        model = files[0]
        if found.module == "saved_model":
            model = next(file.parent for file in files if file.name == "saved_model.pb")
        source = reader(model, size)
        names = next((read_label_file(file) for file in files if file.name == "labels.txt"), ())
    # The unpacked file is gone, which float64 would be read from.
    return replace(source, path=path, names=names or source.names, predict_float64=None)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    total = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()
