"""The list of all inputs: a Parquet file, sorted by the bytes of `path`, with each input once.

| column | content |
| --- | --- |
| `path` (string) | the input as written in its row |
| `locator` (binary) | its location if `path` is not enough (tar member, name that is not UTF-8), or null |

The whole list is never in memory: it is sorted on disk and read by ranges. Any other Parquet file with a
column `path` is a list of inputs too, and is sorted first.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from edge_fm_runtime.batch.inputs import find as find_module
from edge_fm_runtime.batch.inputs import locators, remote
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.cluster.input_sorter import InputSorter
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted import bounded_json, typed_json
from edge_fm_runtime.untrusted.regular_file import open_file

GROUP = 10_000
"""Rows of a row group, the unit of reading and writing."""

_META_KEY = b"edge_fm.manifest"
_BATCH = 10_000

Listener = Callable[[str, int], None]
"""Called with the current step (`listing`, `writing`) and the number of inputs so far."""


@dataclass(frozen=True)
class Manifest:
    """A list of inputs that `write` made.

    Attributes:
        name: path or URL of the file.
        rows: number of inputs.
        paths_sha256: SHA-256 over the paths of all rows in order, each followed by a NUL.
    """

    name: str
    rows: int
    paths_sha256: str


def write(inputs: Sequence[str], out: str, listener: Listener) -> tuple[Manifest, int]:
    """List inputs and write the list.

    Args:
        inputs: inputs that `batch.inputs.find.expand` accepts, or Parquet files with a column `path`.
        out: path or URL of the file; it appears when it is complete.
        listener: called with progress.

    Returns:
        The list, and the number of inputs that were named again.

    Raises:
        SourceError: an input is missing, or there are none.
        OutputError: the file cannot be written.
    """
    folder, name = os.path.split(out)
    target = Folder(folder or ".")
    try:
        is_one_folder = len(inputs) == 1 and os.path.isdir(inputs[0])  # has no file twice
        with (
            tempfile.TemporaryDirectory(prefix="edge-fm-") as scratch,
            InputSorter(scratch, is_one_folder) as sorter,
        ):
            count = _add_inputs(sorter, inputs, out, listener)
            if not count:
                raise SourceError(
                    f"there is nothing to label in {', '.join(map(repr, inputs))}: give a folder or list with files"
                )
            local = os.path.join(scratch, "manifest.parquet")
            rows, digest = _write_sorted(sorter, local, listener)
            target.create()
            target.copy_in(local, name)
    except sqlite3.Error as error:
        raise OutputError(
            f"the inputs cannot be sorted in {tempfile.gettempdir()}: {error}. Set TMPDIR to a folder with more space"
        ) from error
    return Manifest(out, rows, digest), count - rows


def _add_inputs(sorter: InputSorter, inputs: Sequence[str], out: str, listener: Listener) -> int:
    """Add every input but the list itself to a sorter; return the number of names."""
    name, own_identity = os.path.basename(out), locators.identity(out)
    count = 0
    for locator in _expand(inputs):
        if os.path.basename(locator) != name or locators.identity(locator) != own_identity:
            sorter.add(locator)
            count += 1
            if count % _BATCH == 0:
                listener("listing", count)
    return count


def find(name: str) -> Manifest | None:
    """Return the list in a Parquet file; None if `write` did not make the file.

    Raises:
        SourceError: the file is missing, or not Parquet.
    """
    with _open(name) as file:
        text = (file.schema_arrow.metadata or {}).get(_META_KEY)
        if text is None:
            text = (file.metadata.metadata or {}).get(_META_KEY)
    if text is None:
        return None
    try:
        values = bounded_json.loads(text)
        return Manifest(
            name,
            typed_json.read(int, values["rows"], "rows"),
            typed_json.read(str, values["paths_sha256"], "paths_sha256"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"the metadata of {name} cannot be read ({error!r:.200}): make the list again with 'edge-fm manifest'"
        ) from error


def read(manifest: Manifest, start: int, stop: int) -> list[str]:
    """Return the locators of rows `start` up to `stop`.

    Raises:
        SourceError: the file is missing or has changed.
    """
    found: list[str] = []
    with _open(manifest.name) as file:
        first = 0
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            if first < stop and start < after:
                rows = file.read_row_group(group, columns=["path", "locator"]).slice(
                    max(0, start - first), min(after, stop) - max(first, start)
                )
                found += _locators(rows.to_pydict())
            first = after
    if first != manifest.rows:
        raise SourceError(
            f"{manifest.name} has {first:,} rows, expected {manifest.rows:,}: it was changed during the run. "
            "Start over with --fresh"
        )
    return found


def locator_of(path: str, locator: bytes | None) -> str:
    """Return the locator of an input, given the two columns of its row."""
    return path if locator is None else os.fsdecode(locator)


def is_parquet(name: str) -> bool:
    """Return whether an input is a list of inputs in Parquet."""
    return name.lower().endswith(".parquet")


def _expand(inputs: Sequence[str]) -> Iterator[str]:
    for item in inputs:
        name = item.removeprefix("@")
        if is_parquet(name):
            yield from _read_any_list(name)
        elif name.lower().endswith(".txt"):
            yield from find_module.expand(f"@{name}")
        else:
            yield from find_module.expand(item)


def _read_any_list(name: str) -> Iterator[str]:
    """Yield the inputs in any Parquet file with a column `path`."""
    with _open(name) as file:
        columns = file.schema_arrow.names
        if "path" not in columns:
            raise SourceError(
                f"{name} has no column 'path', only {', '.join(map(repr, columns)) or 'none'}: rename the column with the "
                "paths or URLs, or make the list with 'edge-fm manifest'"
            )
        used = [column for column in ("path", "locator") if column in columns]
        for batch in file.iter_batches(_BATCH, columns=used):
            rows = batch.to_pydict()
            if any(not isinstance(path, str) or not path for path in rows["path"]):
                raise SourceError(
                    f"{name} has rows in which 'path' is empty or no text: give a path or URL in each row"
                )
            yield from _locators(rows)


def _locators(rows: dict[str, list[Any]]) -> Iterator[str]:
    column = rows.get("locator") or [None] * len(rows["path"])
    yield from map(locator_of, rows["path"], column)


def _write_sorted(sorter: InputSorter, local: str, listener: Listener) -> tuple[int, str]:
    """Write the sorted inputs; return their number and the SHA-256 of their paths."""
    arrow, parquet = files.pyarrow()
    schema = arrow.schema([("path", arrow.string()), ("locator", arrow.binary())])
    digest = hashlib.sha256()
    rows = 0
    with parquet.ParquetWriter(local, schema, compression="zstd") as writer:
        remaining = iter(sorter)
        while group := list(islice(remaining, GROUP)):
            for path, _ in group:
                digest.update(path + b"\0")
            table = {
                "path": [path.decode() for path, _ in group],
                "locator": [None if locator == path else locator for path, locator in group],
            }
            writer.write_table(arrow.Table.from_pydict(table, schema=schema))
            rows += len(group)
            listener("writing", rows)
        text = json.dumps({"rows": rows, "paths_sha256": digest.hexdigest()})
        writer.add_key_value_metadata({_META_KEY.decode(): text})
    return rows, digest.hexdigest()


@contextlib.contextmanager
def _open(name: str) -> Iterator[Any]:
    """Open a Parquet file for the block.

    Raises:
        SourceError: the file is missing, or not Parquet.
    """
    arrow, parquet = files.pyarrow()
    try:
        with (
            remote.opened(name) if remote.is_url(name) else open_file(name) as file,
            parquet.ParquetFile(file) as table,
        ):
            yield table
    except FileNotFoundError:
        raise SourceError(f"there is no list of inputs {name!r}: check the name") from None
    except (arrow.ArrowInvalid, OSError) as error:
        raise SourceError(
            f"{name} cannot be read as Parquet: {error}. Make the list with 'edge-fm manifest'"
        ) from error
