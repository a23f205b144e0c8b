"""Write and read result files; a file appears under its name only when it is whole.

`.csv` is RFC 4180; `.jsonl` has one JSON object a line; `.parquet` needs pyarrow. All three hold the same.
"""

import contextlib
import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.batch.outputs.rows import Row, columns
from edge_fm_runtime.errors import OutputError, SourceError

_CONFIDENCE = "confidence"
_PARQUET_ROWS = 65_536
_PARTIAL = ".partial"
_META_KEY = b"edge_fm.part"


def check(path: Path, top: int, fields: Sequence[str]) -> None:
    """Refuse an output that cannot be written, before anything is done.

    Raises:
        OutputError: the suffix or a field is unknown, the folder is missing, or the path is a folder.
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
    unknown = [name for name in fields if name not in columns(top)]
    if unknown:
        raise OutputError(
            f"there is no field {', '.join(unknown)}: expected some of {', '.join(columns(top))}"
        )
    if path.suffix.lower() == ".parquet":
        pyarrow()


def write(path: Path, rows: Iterable[Row], top: int, fields: Sequence[str] = (), meta: str = "") -> None:
    """Write rows in the format of the file's suffix.

    Args:
        path: `.csv`, `.jsonl` or `.parquet`.
        rows: in their final order.
        top: labels for each row.
        fields: the columns to write, in order; empty for all.
        meta: kept in a Parquet file's metadata.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, rows, top, list(fields) or columns(top), meta)


def read(path: Path | str) -> Iterator[Row]:
    """Yield the rows of a file that has all fields; a Parquet file may be at a URL.

    Raises:
        SourceError: it is missing, or no such file.
    """
    try:
        suffix = os.path.splitext(path)[1].lower()
        yield from _READERS[suffix](path)
    except (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path} is not a complete output of 'edge-fm label' ({error!r}): label again, with all fields"
        ) from error


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
        name: (float(cells[name]) if cells[name] else None) if name.startswith(_CONFIDENCE) else cells[name]
        for name in (fields or columns(top))
    }


def parquet_meta(path: Path | str) -> str:
    """Return the metadata that `write` put into a Parquet file; empty if none."""
    _, parquet = pyarrow()
    with _opened(path) as file:
        kept: bytes = (parquet.read_schema(file).metadata or {}).get(_META_KEY, b"")
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


def sweep(path: Path) -> None:
    """Remove partial files of killed runs beside `path`; the caller holds its lock."""
    mine = re.compile(re.escape(f".{path.name}.") + r"[^.]*" + re.escape(_PARTIAL))
    with os.scandir(path.parent) as entries:
        left = [entry.path for entry in entries if mine.fullmatch(entry.name)]
    for name in left:
        with contextlib.suppress(OSError):
            os.unlink(name)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    Raises:
        OutputError: it cannot be written.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. What was done so far is kept"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _write_csv(path: Path, rows: Iterable[Row], top: int, fields: list[str], _meta: str) -> None:
    names = columns(top)
    chosen = [names.index(name) for name in fields]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        whole = fields == names
        for row in rows:
            cells = row.cells(top)
            writer.writerow(cells if whole else [cells[position] for position in chosen])


def _write_jsonl(path: Path, rows: Iterable[Row], top: int, fields: list[str], _meta: str) -> None:
    with path.open("w", newline="\n", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row, top, fields) + "\n")


def parquet_bytes(rows: Iterable[Row], top: int, meta: str) -> bytes:
    """Return the bytes of a Parquet file with all columns."""
    buffer = io.BytesIO()
    _write_parquet(buffer, rows, top, columns(top), meta)
    return buffer.getvalue()


def _write_parquet(
    path: Path | IO[bytes], rows: Iterable[Row], top: int, fields: list[str], meta: str
) -> None:
    arrow, parquet = pyarrow()
    kinds = [(name, arrow.float64() if name.startswith(_CONFIDENCE) else arrow.string()) for name in fields]
    schema = arrow.schema(kinds, metadata={_META_KEY: meta.encode()} if meta else None)
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, _PARQUET_ROWS)):
            by_name = dict(
                zip(columns(top), zip(*(row.cells(top) for row in batch), strict=True), strict=True)
            )
            values = [
                [float(cell) if cell else None for cell in by_name[name]]
                if name.startswith(_CONFIDENCE)
                else by_name[name]
                for name in fields
            ]
            writer.write_table(
                arrow.Table.from_arrays(list(map(arrow.array, values, schema.types)), schema=schema)
            )


def _opened(path: Path | str) -> IO[bytes]:
    return remote.opened(path) if isinstance(path, str) and remote.is_url(path) else open(path, "rb")


def _read_csv(path: Path | str) -> Iterator[Row]:
    with open(path, newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file, strict=True):
            yield Row.from_record(record)


def _read_jsonl(path: Path | str) -> Iterator[Row]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield Row.from_record(_as_cells(json.loads(line)))


def _read_parquet(path: Path | str) -> Iterator[Row]:
    _, parquet = pyarrow()
    with _opened(path) as opened, parquet.ParquetFile(opened) as file:
        for batch in file.iter_batches():
            for record in batch.to_pylist():
                yield Row.from_record(_as_cells(record))


def _as_cells(record: dict[str, Any]) -> dict[str, str]:
    return {
        name: "" if value is None else f"{value:.4f}" if isinstance(value, float | int) else value
        for name, value in record.items()
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_WRITERS: dict[str, Callable[[Path, Iterable[Row], int, list[str], str], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}

_READERS: dict[str, Callable[[Path | str], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

SUFFIXES = tuple(_WRITERS)
