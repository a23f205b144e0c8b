"""Read trained models: one module per format, told apart by `identify`.

A module of a format has `load(path, size) -> SourceModel`.
"""

import hashlib
import tempfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from edge_fm_exporters.sources import archive_limits
from edge_fm_exporters.sources.archive_limits import Load
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.identify import Identified, identify
from edge_fm_exporters.sources.label_files import read_label_file
from edge_fm_exporters.sources.unpack import unpack
from edge_fm_runtime.errors import DataError, ModelError

__all__ = ["SourceModel", "digest", "identify", "load"]

_CHUNK = 2**20

_PROBE_BYTES = {"onnx": 2**30, "sklearn": 2**30}
_FRAMEWORK_BYTES = 3 * 2**30
"""Memory for reading a model and for its first answers; TensorFlow's own is part of the latter."""


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a trained image classifier.

    Args:
        path: file or folder of a format that `identify` knows; a zip archive may hold one with its labels.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it cannot be used.
    """
    found = identify(path)
    reader: Load = import_module(f"{__name__}.{found.module}").load
    if not found.members:
        with archive_limits.limited(found.path, _PROBE_BYTES.get(found.module, _FRAMEWORK_BYTES)):
            return reader(found.path, size)
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = _load_unpacked(path, found, reader, Path(folder), size)
        except ModelError as error:  # its path is gone when a person reads it
            raise ModelError(str(error).replace(f"{folder}/", f"{path}: ")) from error
    # The unpacked file is gone, which float64 would be read from.
    return replace(source, path=path, predict_float64=None)


def _load_unpacked(
    path: Path, found: Identified, reader: Load, folder: Path, size: tuple[int, int] | None
) -> SourceModel:
    """Read the model of an archive, and the labels beside it."""
    files = unpack(path, found.members, folder)
    model = files[0]
    if found.module == "saved_model":
        model = next(file.parent for file in files if file.name == "saved_model.pb")
    with archive_limits.limited(model, _PROBE_BYTES.get(found.module, _FRAMEWORK_BYTES)):
        source = reader(model, size)
    labels = next((file for file in files if file.name == "labels.txt"), None)
    if labels is None:
        return source
    try:
        names = read_label_file(labels)
    except DataError as error:
        reason = str(error).removeprefix(f"{labels} ")
        return replace(source, notes=(*source.notes, f"labels.txt in it is left out: it {reason}"))
    if len(names) != source.classes:
        note = f"labels.txt in it is left out: it has {len(names)} names, and the model has {source.classes} outputs"
        return replace(source, notes=(*source.notes, note))
    return replace(source, names=names)


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
