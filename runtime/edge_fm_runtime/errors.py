"""Every error that edge-fm raises on purpose.

    EdgeFmError
    ├── ModelError      a model file cannot be used
    ├── InputError      one picture cannot be used; carries the row's status
    ├── SourceError     a camera, video, folder or view cannot be opened
    ├── OutputError     a result cannot be written
    ├── ExportError     a model cannot be exported, or the export is not good enough
    └── DataError       a data set cannot be used

Each message says what was found, what was expected and what to do next. The command line catches the
family in one place and ends with exit code 2.
"""

from edge_fm_runtime.status import Status


class EdgeFmError(Exception):
    """Base of the family: catch it to catch everything that edge-fm raises on purpose."""


class ModelError(EdgeFmError):
    """A model file cannot be used: not ONNX, no passport, a broken one, or outputs that do not fit it."""


class InputError(EdgeFmError):
    """One picture cannot be used.

    Attributes:
        status: what the picture's row says.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class SourceError(EdgeFmError):
    """A camera, a video, an input folder or a view cannot be opened or read."""


class OutputError(EdgeFmError):
    """A result cannot be written where it was asked for."""


class ExportError(EdgeFmError):
    """A model cannot be exported, or what came out does not answer as its source did."""


class DataError(EdgeFmError):
    """A data set is missing, empty or inconsistent."""
