"""Open files that a stranger may have made: regular files only, none over a size limit."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE_BYTES = 16 * 2**20
"""Limit on a line of a table or journal; a row with 10,000 labels has about 300 kB."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class RefusedFileError(OSError):
    """A path that is no regular file, or a file over its size limit; `strerror` and the text say which."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        """Return the reason alone, without the number of the error."""
        return str(self.strerror)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Return whether something is at a path; False where it is too long or in a closed folder."""
    return os.path.exists(path)  # noqa: PTH110  # pathlib raises for these


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is at a path; False where it is too long or in a closed folder."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is at a path; False where it is too long or in a closed folder."""
    return os.path.isdir(path)  # noqa: PTH112


def open_regular(path: str | bytes | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """Return the descriptor of a regular file and its status.

    Raises:
        RefusedFileError: it is no regular file.
        OSError: it is missing or cannot be opened.
    """
    try:
        # Non-blocking, because opening a named pipe without a writer would block.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise RefusedFileError(f"it is {kind}, expected a regular file")
    return descriptor, status


def read_bytes(path: str | bytes | os.PathLike[str], max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        RefusedFileError: it is no regular file, or over `max_bytes`.
        OSError: it is missing or cannot be read.
    """
    descriptor, status = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > max_bytes:
            raise too_large(status.st_size, max_bytes)
        data = file.read(max_bytes + 1)  # some files, as those in /proc, have more bytes than their size says
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes)
    return data


def read_text(path: str | bytes | os.PathLike[str], max_bytes: int) -> str:
    """Return the text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        RefusedFileError: it is no regular file, or over `max_bytes`.
        OSError: it is missing or cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    text = read_bytes(path, max_bytes).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def open_file(path: str | bytes | os.PathLike[str]) -> BinaryIO:
    """Return a regular file that is open for reading.

    Raises:
        RefusedFileError: it is no regular file.
        OSError: it is missing or cannot be opened.
    """
    return os.fdopen(open_regular(path)[0], "rb")


def read_lines(path: str | bytes | os.PathLike[str], errors: str = "strict") -> Iterator[str]:
    """Yield the lines of a regular file in UTF-8, each with the line break that it has.

    Args:
        path: of the file.
        errors: treatment of bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        RefusedFileError: it is no regular file, or a line is over `MAX_LINE_BYTES`.
        OSError: it is missing or cannot be read.
        UnicodeDecodeError: it is not UTF-8, with `errors` as `strict`.
    """
    with open_file(path) as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise RefusedFileError(f"it has a line of over {MAX_LINE_BYTES:,} bytes")
            yield line.decode(errors=errors)


def too_large(size: int, max_bytes: int) -> RefusedFileError:
    """Return the error for a file over its size limit."""
    return RefusedFileError(f"it has {size:,} bytes or more, the limit is {max_bytes:,}")
