"""Encode and decode rows, one per input.

The text of a row depends on nothing but the input, the model and the options, so a run that was stopped and
resumed writes the same bytes as one that was not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_fm_runtime.errors import InputError
from edge_fm_runtime.status import Status


@dataclass(frozen=True, slots=True)
class Row:
    r"""Row of one input.

    Attributes:
        path: as given plus the relative part; bytes that are no UTF-8 are written as `\xNN`.
        status: what became of it.
        ranking: (label, number with four decimals), likeliest first: the confidence of the first one, the
            others' own probabilities; empty without an answer.
        error: a sentence, empty if all went well.
    """

    path: str
    status: Status
    ranking: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @classmethod
    def failed(cls, path: str, error: InputError) -> "Row":
        """Return the row of an input that could not be classified."""
        return cls(path, error.status, (), str(error))

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> "Row":
        """Return the row of a line with all columns.

        Raises:
            KeyError: a column is missing.
            ValueError: the status is unknown.
        """
        ranks = ["", *(f"_{rank}" for rank in range(2, len(record)) if f"label_{rank}" in record)]
        pairs = ((record[f"label{rank}"], record[f"confidence{rank}"]) for rank in ranks)
        ranking = tuple((label, confidence) for label, confidence in pairs if label)
        return cls(record["path"], Status(record["status"]), ranking, record["error"])

    def cells(self, top: int) -> list[str]:
        """Return the row's values in the order of `columns(top)`."""
        cells = [self.path, str(self.status)]
        for label, confidence in self.ranking[:top]:
            cells += (label, confidence)
        cells += [""] * (2 + 2 * top - len(cells))
        cells.append(self.error)
        return cells


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size of a file in bytes and modification time in nanoseconds; -1 if it is missing."""

    size: int
    mtime_ns: int


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_BY_NAME = {str(status): status for status in Status}  # Status(name) takes five times as long
_BY_PREFIX = {f'["{status}"'.encode(): status for status in Status}


def encode(row: Row, stamp: Stamp) -> bytes:
    """Return a row's line in the journal."""
    record = (row.status, row.path, stamp.size, stamp.mtime_ns, row.ranking, row.error)
    return _ENCODER.encode(record).encode() + b"\n"


def decode(line: bytes) -> tuple[Row, Stamp]:
    """Return what `encode` was given; raise ValueError for any other line."""
    record = json.loads(line)
    return _row_of(record), Stamp(record[2], record[3])


def decode_rows(lines: Sequence[bytes]) -> list[Row]:
    """Return the rows of many encoded lines, in half the time."""
    return [_row_of(record) for record in json.loads(b"[" + b",".join(lines) + b"]")]


def _row_of(record: Sequence[Any]) -> Row:
    status, path, _, _, ranking, error = record
    known = _BY_NAME.get(status) or Status(status)  # a ValueError if it is none
    return Row(path, known, tuple((label, value) for label, value in ranking), error)


def status_of(line: bytes) -> Status:
    """Return the status of an encoded line, without decoding the rest."""
    return _BY_PREFIX[line[: line.index(b",")]]


def columns(top: int) -> list[str]:
    """Return the column names for the `top` likeliest labels."""
    names = ["path", "status", "label", "confidence"]
    for rank in range(2, top + 1):
        names += (f"label_{rank}", f"confidence_{rank}")
    return [*names, "error"]
