"""The list of all inputs, made once: a Parquet file, sorted by the bytes of `path`, each input once.

| column | holds |
| --- | --- |
| `path` (string) | the input as it stands in its row |
| `locator` (binary) | where it is, if `path` does not say it: a tar's member, bytes that are no UTF-8; else null |

Nobody holds the whole list: it goes through a sorter on disk, and is read by ranges. A Parquet file of somebody else's with a
column `path` is a list of inputs too; it goes through the sorter first.
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
from typing import Any, Self

from edge_fm_runtime.batch.inputs import find as find_module
from edge_fm_runtime.batch.inputs import locators, remote
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError

GROUP = 10_000
"""Rows of a row group: what is read and written at once."""

_META_KEY = b"edge_fm.manifest"
_CACHE_KIB = 64 * 1024
_BATCH = 10_000

Listener = Callable[[str, int], None]
"""Called now and then with what is done (`listing`, `writing`) and how many inputs so far."""


@dataclass(frozen=True)
class Manifest:
    """A list of inputs that was made by `write`.

    Attributes:
        name: path or URL of the file.
        rows: how many inputs.
        paths_sha256: of all rows' paths in order, each followed by a NUL.
    """

    name: str
    rows: int
    paths_sha256: str


def write(inputs: Sequence[str], out: str, listener: Listener) -> tuple[Manifest, int]:
    """List inputs and write the list; return it, and how many inputs were named more than once.

    Args:
        inputs: what `sources.expand` understands, or Parquet files with a column `path`.
        out: path or URL of the file; appears when it is whole.
        listener: told of progress.

    Raises:
        SourceError: an input is not there, or there are none.
        OutputError: the file cannot be written.
    """
    folder, name = os.path.split(out)
    target, own = Folder(folder or "."), locators.identity(out)
    try:
        one_folder = len(inputs) == 1 and os.path.isdir(inputs[0])  # names nothing twice
        with (
            tempfile.TemporaryDirectory(prefix="edge-fm-") as scratch,
            _Sorter(scratch, one_folder) as sorter,
        ):
            named = 0
            for locator in _expanded(inputs):
                if os.path.basename(locator) != name or locators.identity(locator) != own:
                    sorter.add(locator)
                    named += 1
                    if named % _BATCH == 0:
                        listener("listing", named)
            if not named:
                raise SourceError(f"there are no files in {', '.join(map(repr, inputs))}: nothing to label")
            local = os.path.join(scratch, "manifest.parquet")
            rows, digest = _write_sorted(sorter, local, listener)
            target.make()
            target.take(local, name)
    except sqlite3.Error as error:
        raise OutputError(f"the inputs cannot be sorted in {tempfile.gettempdir()}: {error}") from error
    return Manifest(out, rows, digest), named - rows


def find(name: str) -> Manifest | None:
    """Return what a Parquet file says of itself; None if it was not made by `write`.

    Raises:
        SourceError: it is missing, or no Parquet file.
    """
    with _opened(name) as file:
        text = (file.schema_arrow.metadata or {}).get(_META_KEY)
        if text is None:
            text = (file.metadata.metadata or {}).get(_META_KEY)
    if text is None:
        return None
    try:
        said = json.loads(text)
        return Manifest(name, int(said["rows"]), str(said["paths_sha256"]))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{name} says of itself what cannot be read ({error!r}): make it anew") from error


def read(manifest: Manifest, start: int, stop: int) -> list[str]:
    """Return the locators of rows `start` up to `stop`.

    Raises:
        SourceError: the file is gone, or is no more what it was.
    """
    found: list[str] = []
    with _opened(manifest.name) as file:
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
            f"{manifest.name} has {first:,} rows and had {manifest.rows:,}: it was changed meanwhile"
        )
    return found


def locator_of(path: str, locator: bytes | None) -> str:
    """Return where an input is, given the two columns of its row."""
    return path if locator is None else os.fsdecode(locator)


def is_parquet(name: str) -> bool:
    """Whether an input is a list of inputs in Parquet."""
    return name.lower().endswith(".parquet")


def _expanded(inputs: Sequence[str]) -> Iterator[str]:
    for given in inputs:
        name = given.removeprefix("@")
        if is_parquet(name):
            yield from _listed(name)
        elif name.lower().endswith(".txt"):
            yield from find_module.expand(f"@{name}")
        else:
            yield from find_module.expand(given)


def _listed(name: str) -> Iterator[str]:
    """Yield what a Parquet file of anybody's names."""
    with _opened(name) as file:
        columns = file.schema_arrow.names
        if "path" not in columns:
            raise SourceError(
                f"{name} has no column 'path', only {', '.join(map(repr, columns)) or 'none'}: name the column with the "
                "paths or URLs so, or make the list with 'edge-fm manifest'"
            )
        kept = [column for column in ("path", "locator") if column in columns]
        for batch in file.iter_batches(_BATCH, columns=kept):
            rows = batch.to_pydict()
            if any(not isinstance(path, str) or not path for path in rows["path"]):
                raise SourceError(
                    f"{name} has rows whose 'path' is empty or no text: expected a path or URL in each"
                )
            yield from _locators(rows)


def _locators(rows: dict[str, list[Any]]) -> Iterator[str]:
    kept = rows.get("locator") or [None] * len(rows["path"])
    yield from map(locator_of, rows["path"], kept)


def _write_sorted(sorter: "_Sorter", local: str, listener: Listener) -> tuple[int, str]:
    """Write the sorted inputs; return how many there are, and the SHA-256 of their paths."""
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
        said = json.dumps({"rows": rows, "paths_sha256": digest.hexdigest()})
        writer.add_key_value_metadata({_META_KEY.decode(): said})
    return rows, digest.hexdigest()


class _Sorter:
    """Sorts more inputs than memory holds, and keeps of each only the first spelling: a SQLite table on disk."""

    def __init__(self, scratch: str, distinct: bool) -> None:
        """Make one.

        Args:
            scratch: a folder for its file.
            distinct: whether two spellings are never one input.
        """
        self._base = sqlite3.connect(os.path.join(scratch, "inputs.sqlite"), isolation_level=None)
        for setting in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "temp_store=FILE",
            f"cache_size=-{_CACHE_KIB}",
        ):
            self._base.execute(f"PRAGMA {setting}")
        self._base.execute(
            "CREATE TABLE inputs (number INTEGER PRIMARY KEY, identity BLOB, path BLOB, locator BLOB)"
        )
        self._waiting: list[tuple[bytes | None, bytes, bytes]] = []
        self._distinct, self._plain = distinct, True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add(self, locator: str) -> None:
        """Take an input."""
        path, whole = locators.sort_key(locator), os.fsencode(locator)
        identity = None
        if not self._distinct:
            identity = os.fsencode(locators.identity(locator))
            self._plain &= identity == whole
        self._waiting.append((identity, path, whole))
        if len(self._waiting) == _BATCH:
            self._store()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (path, locator) in the order of the paths' bytes."""
        self._store()
        if self._plain:
            last = None
            for path, locator in self._base.execute("SELECT path, locator FROM inputs ORDER BY path, number"):
                if path != last or self._distinct:
                    yield path, locator
                last = path
            return
        # With one min(), SQLite takes the other columns from the row that has it.
        yield from self._base.execute(
            "SELECT path, locator FROM (SELECT path, locator, min(number) FROM inputs GROUP BY identity) ORDER BY path"
        )

    def _store(self) -> None:
        self._base.execute("BEGIN")
        self._base.executemany("INSERT INTO inputs (identity, path, locator) VALUES (?, ?, ?)", self._waiting)
        self._base.execute("COMMIT")
        self._waiting.clear()


@contextlib.contextmanager
def _opened(name: str) -> Iterator[Any]:
    """Give a Parquet file, opened.

    Raises:
        SourceError: it is missing, or no Parquet file.
    """
    arrow, parquet = files.pyarrow()
    try:
        with (
            remote.opened(name) if remote.is_url(name) else open(name, "rb") as file,
            parquet.ParquetFile(file) as table,
        ):
            yield table
    except FileNotFoundError:
        raise SourceError(f"there is no list of inputs {name!r}: check the name") from None
    except (arrow.ArrowInvalid, OSError) as error:
        raise SourceError(f"{name} cannot be read as Parquet: {error}") from error
