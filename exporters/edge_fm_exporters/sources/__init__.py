"""Read trained models: one module per format, and one line in the table below.

A module of a format has `load(path) -> SourceModel`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.errors import ModelError

__all__ = ["FORMATS", "SourceModel", "loader_of"]

FORMATS = {".keras": "keras", ".h5": "keras", ".skops": "sklearn"}
"""Module of each file suffix."""


def loader_of(path: Path) -> Callable[[Path], SourceModel]:
    """Return the `load` of the module that reads a file, by its suffix.

    Raises:
        ModelError: no module reads files of this suffix.
    """
    if path.suffix not in FORMATS:
        raise ModelError(
            f"{path} is no model that can be exported: give a run folder, or a file that ends in {', '.join(FORMATS)}"
        )
    load: Callable[[Path], SourceModel] = import_module(f"{__name__}.{FORMATS[path.suffix]}").load
    return load
