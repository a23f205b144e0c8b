"""Lock of an output, so that one run at a time writes it."""

import contextlib
import os
import platform
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.posix import lock_file
from edge_fm_runtime.untrusted.regular_file import open_regular

_MAX_HOLDER_BYTES = 200


class OutputLock:
    """Lock beside an output; it ends with the process that holds it, and its file names that process."""

    def __init__(self, output: Path) -> None:
        """Take the lock.

        Raises:
            OutputError: the folder cannot be written, or another run holds the lock.
        """
        self._output, self._path = output, lock_path(output)
        self._file = self._acquire()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Remove the lock and its file."""
        with contextlib.suppress(OSError):  # Windows keeps an open file; its lock ends all the same
            self._path.unlink()
        self._file.close()

    def _acquire(self) -> BinaryIO:
        while True:
            try:
                refuse_irregular(self._path)
                lock = cast("BinaryIO", self._path.open("a+b", buffering=0))
            except OSError as error:
                raise OutputError(
                    f"{self._output} cannot be written: {error.strerror}. Choose another output with -o"
                ) from error
            if not lock_file(lock):
                lock.seek(0)
                holder = lock.read(_MAX_HOLDER_BYTES).decode(errors="replace").strip() or "another run"
                lock.close()
                raise OutputError(
                    f"{holder} is writing the same output: wait for it, or choose another one with -o"
                )
            if _is_file_at(lock, self._path):
                break
            lock.close()  # its last holder removed the file between our opening and our locking it
        with contextlib.suppress(
            OSError
        ):  # the lock holds without its text, for which a full disk has no room
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {platform.node()}\n".encode())
        return lock


def lock_path(output: Path) -> Path:
    """Return the path of an output's lock."""
    return output.with_name(f".{output.name}.lock")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written."""
    return OutputError(f"{path} cannot be written: {error.strerror}. What was done so far is kept")


def refuse_irregular(path: Path) -> None:
    """Raise an OSError if something is at a path that is no regular file, which could block for ever."""
    with contextlib.suppress(FileNotFoundError):
        os.close(open_regular(path)[0])


def _is_file_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
