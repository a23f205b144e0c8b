"""Where rows go: a file that appears under its name only when it is whole."""

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from edge_fm_runtime.batch.rows import Row, columns
from edge_fm_runtime.errors import OutputError


def write(path: Path, rows: Iterable[Row], top: int) -> None:
    """Write rows in the form that the file's suffix names.

    Args:
        path: `.csv`.
        rows: in their final order.
        top: labels for each row.

    Raises:
        OutputError: it cannot be written, or the suffix is unknown.
    """
    check(path)
    with _atomic(path) as file:
        _write_csv(file, rows, top)


def check(path: Path) -> None:
    """Refuse an output that cannot work, before anything is done.

    Raises:
        OutputError: the suffix is unknown, the folder is missing, or the path is a folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path} ends in {path.suffix or 'nothing'!r}, expected one of {', '.join(SUFFIXES)}"
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise OutputError(
            f"the folder {path.parent} does not exist: make it first, or choose another output with -o"
        )


SUFFIXES = (".csv",)


def _write_csv(file: TextIO, rows: Iterable[Row], top: int) -> None:
    """RFC 4180: CRLF ends a row; a cell with a comma, quote or line break is quoted."""
    writer = csv.writer(file)
    writer.writerow(columns(top))
    for row in rows:
        writer.writerow(row.cells(top))


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[TextIO]:
    """Open a temporary file beside `path` that takes its place when the block ends well."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}. What was done so far is kept"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
