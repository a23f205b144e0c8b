"""Keep a journal beside the output: each row as soon as it is done, so that a killed run resumes.

    labels.csv            put in place when every row is there
    .labels.csv.journal   one JSON line for each row, appended as it is done
    .labels.csv.lock      held by the run that is writing

The journal's first line names the model and the options that a row depends on. A line counts for a file of
the same size and modification time; anything else is done again. A torn last line is cut off.
"""

import contextlib
import json
import os
import platform
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.outputs.rows import Row, decode, decode_rows
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.posix import lock_file
from edge_fm_runtime.status import Status

_FORM = 2

_READ_AT_ONCE = 128
"""Rows per read."""


@dataclass(frozen=True)
class RunKey:
    """Everything that a row depends on besides its input.

    Attributes:
        model_sha256: of the model file.
        recipe_version: of the preprocessing.
        top: how many labels a row keeps.
        max_bytes: of a picture's file.
        max_pixels: of a picture.
    """

    model_sha256: str
    recipe_version: int
    top: int
    max_bytes: int
    max_pixels: int


class Journal:
    """Journal of one output, open for one run at a time."""

    def __init__(self, output: Path, terms: RunKey, inputs: Sequence[str], *, fresh: bool) -> None:
        """Take the lock and read which inputs are done.

        Args:
            output: the file that the run will write.
            terms: what its rows depend on.
            inputs: their locators, sorted by the bytes of their row's text.
            fresh: whether to forget what was done.

        Raises:
            OutputError: the folder cannot be written, or another run holds the output.
        """
        self.inputs = inputs
        self.restarted = ""
        self._terms = terms
        self._journal_path, self._lock_path = journal_path(output), lock_path(output)
        self._lock = self._acquire()
        self._offsets = array("q", [-1]) * len(inputs)
        try:
            if fresh:
                self._journal_path.unlink(missing_ok=True)
            # Unbuffered: a line is in the file, or it is an error, when append returns.
            self._writer = self._journal_path.open("ab", buffering=0)
        except OSError as error:
            self._release()
            raise _cannot_write(self._journal_path, error) from error
        try:
            with self._journal_path.open("rb") as journal:
                self._load(journal)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            if isinstance(error, OSError):
                raise _cannot_write(self._journal_path, error) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if error is not None and all(offset < 0 for offset in self._offsets):
            with contextlib.suppress(OSError):
                self._journal_path.unlink()  # it failed before its first row: nothing is left of it
        self._release()

    @property
    def open_indices(self) -> list[int]:
        """Indices of the inputs that still need a row."""
        return [index for index, offset in enumerate(self._offsets) if offset < 0]

    def append(self, indices: Sequence[int], lines: Sequence[bytes]) -> None:
        """Append encoded rows; they survive the end of this process.

        Raises:
            OutputError: the disk is full, or gone.
        """
        start = self._end
        try:
            self._write(b"".join(lines))
        finally:  # where the disk fills up, the lines that had room still count
            for index, line in zip(indices, lines, strict=True):
                if start + len(line) > self._end:
                    break
                self._offsets[index] = start
                start += len(line)

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of the inputs, read back in blocks of consecutive lines."""
        lines: list[bytes] = []
        position = -1
        with self._journal_path.open("rb") as journal:
            for offset in self._offsets:
                if offset != position or len(lines) == _READ_AT_ONCE:
                    yield from decode_rows(lines)
                    lines.clear()
                    position = journal.seek(offset)
                lines.append(journal.readline())
                position += len(lines[-1])
            yield from decode_rows(lines)

    def _write(self, lines: bytes) -> None:
        """Append whole lines; after an error, those that were written stay."""
        written = 0
        try:
            while written < len(lines):
                written += self._writer.write(memoryview(lines)[written:])
        except OSError as error:
            self._end += lines.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):
                self._writer.truncate(self._end)
            raise _cannot_write(self._journal_path, error) from error
        self._end += written

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # Windows keeps an open file; its lock ends all the same
            self._lock_path.unlink()
        self._lock.close()

    def _acquire(self) -> BinaryIO:
        while True:
            try:
                lock = self._lock_path.open("a+b")
            except OSError as error:
                raise _cannot_write(self._lock_path, error) from error
            if not lock_file(lock):
                lock.seek(0)
                holder = lock.read().decode(errors="replace").strip() or "another run"
                lock.close()
                raise OutputError(
                    f"{holder} is writing the same output: wait for it, or choose another one with -o"
                )
            if _is_file_at(lock, self._lock_path):
                break
            lock.close()  # its last holder removed the file between our opening and our locking it
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}\n".encode())
        lock.flush()
        return lock

    def _load(self, journal: BinaryIO) -> None:
        """Read the journal, drop rows that are out of date, and cut off a torn end."""
        header = json.dumps({"edge_fm_journal": _FORM, **asdict(self._terms)}).encode() + b"\n"
        found = journal.readline(len(header) + 1)
        if found != header:
            if found:
                self.restarted = "the model or an option has changed, so every input is done again"
            self._end = 0
            self._writer.truncate(0)
            self._write(header)
            return
        self._end = len(header)
        for line in journal:
            if not line.endswith(b"\n"):
                break
            try:
                row, stamp = decode(line)
            except (ValueError, TypeError):
                break
            key = row.path.encode()
            index = bisect_left(self.inputs, key, key=locators.sort_key)
            if index < len(self.inputs) and locators.sort_key(self.inputs[index]) == key:
                same = (stamp.size, stamp.mtime_ns) == locators.stamp(self.inputs[index])
                # A hang or a crash may have been the machine's: it is tried again.
                final = row.status not in {Status.TIMEOUT, Status.CRASHED}
                self._offsets[index] = self._end if same and final else -1
            self._end += len(line)
        self._writer.truncate(self._end)


def journal_path(output: Path) -> Path:
    """Return the path of an output's journal."""
    return output.with_name(f".{output.name}.journal")


def lock_path(output: Path) -> Path:
    """Return the path of an output's lock."""
    return output.with_name(f".{output.name}.lock")


def _is_file_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written: {error.strerror}. What was done so far is kept")
