"""Read trained models within limits on their size and on the memory that reading them takes."""

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.hdf5_limits import check_hdf5
from edge_fm_runtime.errors import EdgeFmError, ModelError
from edge_fm_runtime.posix import limited_memory
from edge_fm_runtime.untrusted import bounded_json
from edge_fm_runtime.untrusted.regular_file import open_file, too_large
from edge_fm_runtime.untrusted.zip_directory import open_zip

MAX_SOURCE_BYTES = 384 * 2**20
"""Largest size of a trained model, packed and unpacked: an exported one has at most 256 MB."""

LOADING_BYTES = 2**30
"""Most memory for reading a model and for its first answers, besides the size of its file."""

_MAX_CONFIG_BYTES = 16 * 2**20
_MAX_CONFIG_DEPTH = 100
_MAX_CONFIG_OBJECTS = 20_000
"""Layers, initialisers and other objects in a configuration; EfficientNetB7 has about 5,000."""

_HDF5, _HDF5_HEAD, _ZIP = ".h5", b"\x89HDF\r\n\x1a\n", b"PK\3\4"

_KERAS = "Keras model", "model.save('name.keras')"
_SAVED = {
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".skops": ("skops file", "skops.io.dump(model, 'name.skops')"),
}
"""Kind of a file, and what saves it, by its suffix."""


class Load(Protocol):
    """The `load` of a source format."""

    def __call__(self, path: Path, size: tuple[int, int] | None = None) -> SourceModel:
        """Read a trained model."""


def within_limits(load: Load) -> Load:
    """Decorate the `load` of a source format: check the file first, and limit the memory that it takes."""

    @functools.wraps(load)
    def checked(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
        if path.exists():
            check(path)
        if path.suffix != ".skops":
            import_keras()  # first: its own memory does not count
        with limited(path):
            return load(path, size)

    return checked


@contextlib.contextmanager
def limited(path: Path, memory_bytes: int = LOADING_BYTES) -> Iterator[None]:
    """Limit the memory that the block takes to build a model and for its first answers.

    Args:
        path: the model, for messages.
        memory_bytes: limit, besides the size of the file.

    Raises:
        ModelError: the block raises any exception, such as one of a layer that first answers.
    """
    size = path.stat().st_size if path.is_file() else 0
    try:
        with limited_memory(memory_bytes + size):
            yield
    except EdgeFmError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} cannot be used: {_first_line(error)}. Save it again from the program that trained it"
        ) from error


def check(path: Path) -> None:
    """Refuse a file of a trained model that is over a limit, or that leads out of itself.

    Raises:
        ModelError: it is no regular file, is too large, unpacks to too much, refers to other files, or has a
            configuration that is broken or too large.
    """
    try:
        with open_file(path) as file:
            check_size(os.fstat(file.fileno()).st_size)
            is_hdf5 = file.read(len(_HDF5_HEAD)) == _HDF5_HEAD
            file.seek(0)
            if is_hdf5:
                check_hdf5(file, MAX_SOURCE_BYTES)
                _check_hdf5_config(path)
                return
        with open_zip(path, MAX_SOURCE_BYTES) as archive:
            _check_members(archive)
            if "config.json" in archive.namelist():
                _check_config(archive.read("config.json"))
    except ModelError:
        raise
    except Exception as error:  # h5py and zipfile raise many kinds for damaged files
        kind, remedy = _SAVED.get(path.suffix, _KERAS)
        raise ModelError(
            f"{path} is no whole {kind} within the limits ({_first_line(error)}): save it with {remedy}"
        ) from error


def check_size(size: int) -> None:
    """Refuse a file over the size limit.

    Raises:
        RefusedFileError: it is.
    """
    if size > MAX_SOURCE_BYTES:
        raise too_large(size, MAX_SOURCE_BYTES)


def _check_members(archive: ZipFile) -> None:
    """Check archives and HDF5 files within an archive; nothing may be nested deeper."""
    left = MAX_SOURCE_BYTES - sum(entry.file_size for entry in archive.infolist())
    for entry in archive.infolist():
        if entry.filename.endswith(_HDF5):
            check_hdf5(io.BytesIO(archive.read(entry)), MAX_SOURCE_BYTES)
            continue
        with archive.open(entry) as member:
            if member.read(len(_ZIP)) != _ZIP:
                continue
        with open_zip(io.BytesIO(archive.read(entry)), left) as nested:
            for inner in nested.infolist():
                left -= inner.file_size
                with nested.open(inner) as member:
                    if member.read(len(_ZIP)) == _ZIP:
                        raise ValueError(f"it has an archive within the archive {entry.filename!r:.60}")


def _check_hdf5_config(path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        if "model_config" in file.attrs:
            _check_config(file.attrs["model_config"])


def _check_config(config: Any) -> None:  # noqa: ANN401  # whatever is stored there
    """Refuse a configuration that is no JSON object, or too large or deep to be a small classifier's."""
    if not isinstance(config, str | bytes):
        raise ValueError(f"its configuration is of {type(config).__name__}, expected text")  # noqa: TRY004  # one kind
    if len(config) > _MAX_CONFIG_BYTES:
        raise ValueError(f"its configuration has over {_MAX_CONFIG_BYTES:,} bytes")
    parsed = bounded_json.loads(config)
    if not isinstance(parsed, dict):
        raise ValueError("its configuration is no JSON object")  # noqa: TRY004
    objects = 0
    level: list[Any] = [parsed]
    for _ in range(_MAX_CONFIG_DEPTH):
        objects += sum(isinstance(value, dict) and "class_name" in value for value in level)
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            break
    if level:
        raise ValueError(f"its configuration is nested more than {_MAX_CONFIG_DEPTH} deep")
    if objects > _MAX_CONFIG_OBJECTS:
        raise ValueError(f"its configuration has {objects:,} objects, the limit is {_MAX_CONFIG_OBJECTS:,}")


def _first_line(error: Exception) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[0][:300]
    return type(error).__name__
