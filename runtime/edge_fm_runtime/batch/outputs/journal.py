"""Keep a journal beside the output: each row as soon as it is done, so that a killed run resumes.

    labels.csv            put in place when every row is there
    .labels.csv.journal   one JSON line for each row, appended as it is done
    .labels.csv.lock      held by the run that is writing

The journal's first line names the model and the options that a row depends on. A line counts for a file of
the same size and modification time; anything else is done again. A torn last line is cut off.
"""

import contextlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.outputs.lock import OutputLock, cannot_write, refuse_irregular
from edge_fm_runtime.batch.outputs.rows import Row, decode, decode_rows
from edge_fm_runtime.status import Status
from edge_fm_runtime.untrusted.regular_file import MAX_LINE_BYTES
from edge_fm_runtime.untrusted.typed_json import require

_FORM, _FORM_WITH_BARE_PATHS = 3, 2
"""Numbers of the present form, and of one in which two paths could have the same text."""

_MAX_TOP = 10_000

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

    def __post_init__(self) -> None:
        require(1 <= self.top <= _MAX_TOP, f"rows with {self.top} labels, expected 1 to {_MAX_TOP:,}")


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
        self._journal_path = journal_path(output)
        self._lock = OutputLock(output)
        self._offsets = array("q", [-1]) * len(inputs)
        try:
            if fresh:
                self._journal_path.unlink(missing_ok=True)
            refuse_irregular(self._journal_path)
            # Unbuffered: a line is in the file, or it is an error, when append returns.
            self._writer = self._journal_path.open("ab", buffering=0)
        except OSError as error:
            self._lock.release()
            raise cannot_write(self._journal_path, error) from error
        try:
            with self._journal_path.open("rb") as journal:
                self._load(journal)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            if isinstance(error, OSError):
                raise cannot_write(self._journal_path, error) from error
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
        self._lock.release()

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
            raise cannot_write(self._journal_path, error) from error
        self._end += written

    def _header(self, form: int) -> bytes:
        return json.dumps({"edge_fm_journal": form, **asdict(self._terms)}).encode() + b"\n"

    def _load(self, journal: BinaryIO) -> None:
        """Read the journal, drop rows that are out of date, and cut off a torn end."""
        header, old = self._header(_FORM), self._header(_FORM_WITH_BARE_PATHS)
        found = journal.readline(len(header) + 1)
        if found not in {header, old}:
            if found:
                self.restarted = "the model or an option has changed, so every input is done again"
            self._end = 0
            self._writer.truncate(0)
            self._write(header)
            return
        self._end = len(found)
        while line := journal.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                break
            try:
                row, stamp = decode(line)
            except (ValueError, TypeError):
                break
            key = row.path.encode()
            index = bisect_left(self.inputs, key, key=locators.sort_key)
            if index < len(self.inputs) and locators.sort_key(self.inputs[index]) == key:
                is_sure = found == header or "\\x" not in row.path
                same = is_sure and (stamp.size, stamp.mtime_ns) == locators.stamp(self.inputs[index])
                # A hang or a crash may have been the machine's: it is tried again.
                final = row.status not in {Status.TIMEOUT, Status.CRASHED}
                self._offsets[index] = self._end if same and final else -1
            self._end += len(line)
        self._writer.truncate(self._end)


def journal_path(output: Path) -> Path:
    """Return the path of an output's journal."""
    return output.with_name(f".{output.name}.journal")
