"""The device side of edge-fm: passport, preprocessing, classifier, batch labelling, live view.

It needs NumPy, onnxruntime and OpenCV, and never imports TensorFlow, Keras or the rest of edge-fm.
"""

import os
from typing import TYPE_CHECKING, Any

from edge_fm_runtime.errors import (
    DataError,
    EdgeFmError,
    ExportError,
    InputError,
    ModelError,
    OutputError,
    SourceError,
)
from edge_fm_runtime.status import Status

if TYPE_CHECKING:
    from edge_fm_runtime.artifact.passport import Passport
    from edge_fm_runtime.classifier import Classifier, Prediction
    from edge_fm_runtime.image.guard import Limits

__version__ = "0.1.0"

# The wheels of onnxruntime 1.29 and later send usage reports, and store an identifier of the device in the
# home folder, unless this is set before the import (microsoft/onnxruntime, pull request 27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Classifier",
    "DataError",
    "EdgeFmError",
    "ExportError",
    "InputError",
    "Limits",
    "ModelError",
    "OutputError",
    "Passport",
    "Prediction",
    "SourceError",
    "Status",
    "__version__",
]

_LAZY = {
    "Classifier": "classifier",
    "Limits": "image.guard",
    "Passport": "artifact.passport",
    "Prediction": "classifier",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # any public name
    """Import names that need NumPy, OpenCV or onnxruntime on first use, so that `--help` is instant."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"edge_fm_runtime.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
