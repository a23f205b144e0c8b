"""Write and read result files; a file appears under its name only when it is whole.

`.csv` is RFC 4180; `.jsonl` has one JSON object a line; `.parquet` needs pyarrow. All three hold the same.
"""

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.batch.outputs import spreadsheet
from edge_fm_runtime.batch.outputs.atomic import atomic
from edge_fm_runtime.batch.outputs.rows import CONFIDENCE, Row, columns, json_line
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted import bounded_json
from edge_fm_runtime.untrusted.regular_file import RefusedFileError, open_file, read_lines

_PARQUET_ROWS = 65_536
_MAX_NAME = 235
"""Bytes of an output's name; those of its partial files and journal are longer, and may have 255."""

_META_KEY = b"edge_fm.part"


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """Content of a result file, besides its rows.

    Attributes:
        top: labels for each row.
        fields: the columns to write, in order; empty for all.
        spreadsheet_safe: whether to protect the cells of a CSV from spreadsheets.
        meta: returns the metadata of a Parquet file; called when every row is written.
    """

    top: int
    fields: Sequence[str] = ()
    spreadsheet_safe: bool = False
    meta: Callable[[], str] = str

    @property
    def columns(self) -> list[str]:
        """Names of the columns to write."""
        return list(self.fields) or columns(self.top)


def check(path: Path, form: TableFormat) -> None:
    """Refuse an output that cannot be written, before anything is done.

    Raises:
        OutputError: the suffix or a field is unknown, the folder is missing, the path is a folder, or
            `spreadsheet_safe` is set for a file that is not CSV.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path} ends in {path.suffix or 'nothing'!r}, expected one of {', '.join(SUFFIXES)}"
        )
    if len(os.fsencode(path.name)) > _MAX_NAME:
        raise OutputError(f"{path.name[:40]}... is too long a name: expected at most {_MAX_NAME} bytes")
    if path.is_dir():
        raise OutputError(f"{path} is a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise OutputError(
            f"the folder {path.parent} does not exist: make it first, or choose another output with -o"
        )
    unknown = [name for name in form.fields if name not in columns(form.top)]
    if unknown:
        raise OutputError(
            f"there is no field {', '.join(map(repr, unknown))}: expected some of {', '.join(columns(form.top))}"
        )
    if form.spreadsheet_safe and path.suffix.lower() != ".csv":
        raise OutputError(
            f"--spreadsheet-safe is for .csv files, not {path}: leave it out, or give -o labels.csv"
        )
    if path.suffix.lower() == ".parquet":
        pyarrow()


def write(path: Path, rows: Iterable[Row], form: TableFormat) -> None:
    """Write rows in the format of the file's suffix.

    Args:
        path: `.csv`, `.jsonl` or `.parquet`.
        rows: in their final order.
        form: what else the file has.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, rows, form)


def read(path: Path | str) -> Iterator[Row]:
    """Yield the rows of a file that has all fields; a Parquet file may be at a URL.

    Raises:
        SourceError: it is missing, or no such file.
    """
    reader = _READERS.get(os.path.splitext(path)[1].lower())
    if not os.path.isfile(path) and not remote.is_url(str(path)):
        found = "is no regular file" if os.path.lexists(path) else "does not exist"
        raise SourceError(f"{path} {found}: give a file that 'edge-fm label' wrote")
    if reader is None:
        raise SourceError(
            f"{path} is no table: expected a file of 'edge-fm label', one of {', '.join(SUFFIXES)}"
        )
    done = 0
    try:
        for record in reader(path):
            row = Row.from_record(record)
            done += 1
            yield row
    except RefusedFileError as error:
        raise SourceError(f"{path} is not a complete output of 'edge-fm label' ({error})") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    except _UNREADABLE as error:
        reason = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
        raise SourceError(
            f"{path} is not a complete output of 'edge-fm label' (row {done + 1}: {reason:.300}): label again, with "
            "all fields"
        ) from error


def parquet_meta(path: Path | str) -> str:
    """Return the metadata that `write` put into a Parquet file; empty if none."""
    _, parquet = pyarrow()
    with _opened(path) as file:
        kept: bytes = (parquet.read_metadata(file).metadata or {}).get(_META_KEY, b"")
    return kept.decode()


def pyarrow() -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        OutputError: they are not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise OutputError(
            "Parquet needs pyarrow: run pip install 'edge-fm[parquet]', or write .csv or .jsonl"
        ) from None
    return pa, pq


def _write_csv(path: Path, rows: Iterable[Row], form: TableFormat) -> None:
    names = columns(form.top)
    chosen = [names.index(name) for name in form.columns]
    whole = form.columns == names
    encoding = spreadsheet.ENCODING if form.spreadsheet_safe else "utf-8"
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file)
        writer.writerow(form.columns)
        for row in rows:
            cells = row.cells(form.top)
            if form.spreadsheet_safe:
                cells = list(map(spreadsheet.protect, cells))
            writer.writerow(cells if whole else [cells[position] for position in chosen])


def _write_jsonl(path: Path, rows: Iterable[Row], form: TableFormat) -> None:
    with path.open("w", newline="\n", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row, form.top, form.fields) + "\n")


def parquet_bytes(rows: Iterable[Row], top: int, meta: str) -> bytes:
    """Return the bytes of a Parquet file with all columns."""
    buffer = io.BytesIO()
    _write_parquet(buffer, rows, TableFormat(top=top, meta=lambda: meta))
    return buffer.getvalue()


def _write_parquet(path: Path | IO[bytes], rows: Iterable[Row], form: TableFormat) -> None:
    arrow, parquet = pyarrow()
    schema = arrow.schema(
        [(name, arrow.float64() if name.startswith(CONFIDENCE) else arrow.string()) for name in form.columns]
    )
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, _PARQUET_ROWS)):
            by_name = dict(
                zip(
                    columns(form.top),
                    zip(*(row.cells(form.top) for row in batch), strict=True),
                    strict=True,
                )
            )
            values = [
                [float(cell) if cell else None for cell in by_name[name]]
                if name.startswith(CONFIDENCE)
                else by_name[name]
                for name in form.columns
            ]
            writer.write_table(
                arrow.Table.from_arrays(list(map(arrow.array, values, schema.types)), schema=schema)
            )
        if meta := form.meta():
            writer.add_key_value_metadata({_META_KEY.decode(): meta})


def _opened(path: Path | str) -> IO[bytes]:
    return remote.opened(path) if isinstance(path, str) and remote.is_url(path) else open_file(path)


def _read_csv(path: Path | str) -> Iterator[dict[str, str]]:
    with open_file(path) as raw:
        is_protected = spreadsheet.is_protected(raw.read(4))
    lines = read_lines(path)
    first = next(lines, "").removeprefix("\ufeff")
    reader = csv.DictReader(itertools.chain([first], lines), strict=True)
    _require_columns(reader.fieldnames or ())
    for record in reader:
        if None in record or None in record.values():
            raise ValueError(f"expected {len(reader.fieldnames or ())} cells, as in the first line")
        yield {name: spreadsheet.restore(cell) for name, cell in record.items()} if is_protected else record


def _read_jsonl(path: Path | str) -> Iterator[dict[str, str]]:
    for line in read_lines(path):
        yield _as_cells(bounded_json.loads(line))


def _read_parquet(path: Path | str) -> Iterator[dict[str, str]]:
    _, parquet = pyarrow()
    with _opened(path) as opened, parquet.ParquetFile(opened) as file:
        _require_columns(file.schema_arrow.names)
        for batch in file.iter_batches():
            yield from map(_as_cells, batch.to_pylist())


def _require_columns(names: Sequence[str]) -> None:
    """Raise KeyError for a column that every table has, also one without rows."""
    for name in columns(1):
        if name not in names:
            raise KeyError(name)


def _as_cells(record: object) -> dict[str, str]:
    if not isinstance(record, dict):
        raise TypeError("expected an object with the columns as keys")
    return {name: _cell(name, value) for name, value in record.items()}


def _cell(name: str, value: object) -> str:
    """Return a value as the text that a CSV has for it."""
    if value is None:
        return ""
    if name.startswith(CONFIDENCE) and isinstance(value, float | int):
        return f"{float(value):.4f}"
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r:.40}, expected text")
    value.encode()  # a ValueError for half a surrogate pair
    return value


_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    csv.Error,
)
"""Exceptions of the readers for a file that holds something else."""

_WRITERS: dict[str, Callable[[Path, Iterable[Row], TableFormat], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}

_READERS: dict[str, Callable[[Path | str], Iterator[dict[str, str]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

SUFFIXES = tuple(_WRITERS)
