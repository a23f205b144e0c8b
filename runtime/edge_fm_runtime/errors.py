"""The exceptions that edge-fm raises on purpose.

    EdgeFmError
    ├── ModelError      a model file cannot be used
    ├── InputError      one image cannot be used; carries the status of its row
    ├── SourceError     a camera, video, folder or view cannot be opened
    ├── OutputError     a result cannot be written
    ├── ExportError     a model cannot be exported, or the export is not good enough
    └── DataError       a data set cannot be used

Each message says what was found, what was expected and what to do next. The command line catches the base
class in one place and ends with exit code 2.
"""

from edge_fm_runtime.status import Status


class EdgeFmError(Exception):
    """Base class of every exception that edge-fm raises on purpose."""


class ModelError(EdgeFmError):
    """A model file cannot be used: not ONNX, without a valid passport, or with outputs that contradict it."""


class InputError(EdgeFmError):
    """One image cannot be used.

    Attributes:
        status: status of the image's row.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class SourceError(EdgeFmError):
    """A camera, a video, an input folder or a view cannot be opened or read."""


class OutputError(EdgeFmError):
    """A result cannot be written to its destination."""


class ExportError(EdgeFmError):
    """A model cannot be exported, or the exported file does not answer like its source."""


class DataError(EdgeFmError):
    """A data set is missing, empty or inconsistent."""
