"""Standard output that reports in one line when it cannot be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from edge_fm_runtime.errors import OutputError


class CheckedOutput:
    """A text stream that raises `OutputError` when it cannot be written; `BrokenPipeError` stays as it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failure = ""

    def write(self, text: str) -> int:
        """Write a text and return its length.

        Raises:
            OutputError: the stream takes no more bytes, or cannot encode the text.
        """
        with self._errors():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            OutputError: the stream takes no more bytes.
        """
        with self._errors():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # everything else is the stream's own
        return getattr(self._stream, name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._failure:
            raise OutputError(self._failure)
        try:
            yield
        except BrokenPipeError:
            raise
        except UnicodeEncodeError as error:
            text = error.object[error.start : error.end]
            raise OutputError(
                f"standard output cannot show {text!a:.60} in {error.encoding}: set PYTHONIOENCODING=utf-8"
            ) from None
        except OSError as error:
            self._discard()
            self._failure = f"standard output cannot be written: {error.strerror or error}"
            raise OutputError(self._failure) from None

    def _discard(self) -> None:
        """Send what is buffered to nowhere, so that Python does not fail on it once more as it ends."""
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
