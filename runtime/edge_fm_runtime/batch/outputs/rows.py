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
from edge_fm_runtime.untrusted import bounded_json

CONFIDENCE = "confidence"
"""Beginning of the names of the columns with numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """Row of one input.

    Attributes:
        path: as given plus the relative part, as `locators.text` writes it.
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
            ValueError: path, status or a confidence is none, or the label is missing.
        """
        ranks = ["", *(f"_{rank}" for rank in range(2, len(record)) if f"label_{rank}" in record)]
        pairs = ((record[f"label{rank}"], record[f"confidence{rank}"]) for rank in ranks)
        ranking = tuple((label, _checked(confidence)) for label, confidence in pairs if label)
        status = Status(record["status"])
        if status.labelled and not ranking:
            raise ValueError(f"the status is {status}, and there is no label")
        if "\0" in record["path"]:
            raise ValueError(f"the path {record['path']!r:.40} has a NUL")
        return cls(record["path"], status, ranking, record["error"])

    def check(self) -> None:
        """Refuse values that a row cannot have; it may come from any file.

        Raises:
            TypeError: a value is not text.
            ValueError: a text is not valid Unicode, or a confidence is not in [0, 1].
        """
        for text in (self.path, self.error, *(part for pair in self.ranking for part in pair)):
            if not isinstance(text, str):
                raise TypeError(f"{text!r:.60} where text was expected")
            text.encode()  # a ValueError for half a surrogate pair
        for _, confidence in self.ranking:
            _checked(confidence)

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
    """Return what `encode` was given; raise ValueError or TypeError for any other line."""
    record = bounded_json.parse(line.decode())
    if not isinstance(record, list):
        raise TypeError(f"{record!r:.60} where a list was expected")
    row = _row_of(record)
    row.check()
    if not isinstance(record[2], int) or not isinstance(record[3], int):
        raise TypeError(f"the size and time {record[2:4]!r:.60}, expected integers")
    return row, Stamp(record[2], record[3])


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


def _checked(confidence: str) -> str:
    """Return the text of a confidence; raise ValueError if it is no number from 0 to 1."""
    try:
        is_confidence = 0 <= float(confidence) <= 1
    except ValueError:
        is_confidence = False
    if not is_confidence:
        raise ValueError(f"the confidence is {confidence!r:.40}, expected a number from 0 to 1")
    return confidence


def columns(top: int) -> list[str]:
    """Return the column names for the `top` likeliest labels."""
    names = ["path", "status", "label", "confidence"]
    for rank in range(2, top + 1):
        names += (f"label_{rank}", f"confidence_{rank}")
    return [*names, "error"]


def json_line(row: Row, top: int, fields: Sequence[str] = ()) -> str:
    """Return a row as one JSON object."""
    return json.dumps(record(row, top, fields), ensure_ascii=False)


def record(row: Row, top: int, fields: Sequence[str] = ()) -> dict[str, str | float | None]:
    """Return a row by column: confidences as numbers, None without one; all else as text.

    Args:
        row: to write.
        top: labels for each row.
        fields: the columns, in order; empty for all.
    """
    cells = dict(zip(columns(top), row.cells(top), strict=True))
    return {
        name: (float(cells[name]) if cells[name] else None) if name.startswith(CONFIDENCE) else cells[name]
        for name in (fields or columns(top))
    }
