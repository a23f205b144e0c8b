"""Divide a labelling into shards, and merge their parts with a proof that none is missing.

An input belongs to the shard that the CRC-32 of its row's path says, so that a new file moves no other; where
a list of all inputs was made first, to the shard that its place in the list says. Each part says which model,
options and list of inputs it is of; merging holds all parts to the same.
"""

import hashlib
import heapq
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Self

from edge_fm_runtime import posix
from edge_fm_runtime.batch.inputs import locators, remote
from edge_fm_runtime.batch.options import MAX_SHARDS, Shard
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.atomic import atomic, sweep
from edge_fm_runtime.batch.outputs.files import TableFormat
from edge_fm_runtime.batch.outputs.journal import RunKey
from edge_fm_runtime.batch.outputs.lock import OutputLock
from edge_fm_runtime.batch.outputs.rows import Row, Stamp, encode
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted import bounded_json, regular_file, typed_json

_MAX_META_BYTES = 16 * 2**20

_OTHER_FILES = 32
"""Files that are open beside the parts of a merge."""

_NO_STAMP = Stamp(-1, -1)


class Rule(StrEnum):
    """Rule that divides inputs into shards."""

    CRC32 = "crc32"
    RANGE = "range"  # of places in the sorted list


@dataclass(frozen=True)
class Part:
    """Metadata of a part file.

    Attributes:
        terms: what its rows depend on.
        shard: which part it is.
        rows: how many it has.
        all_inputs: how many inputs all shards have together.
        all_paths_sha256: of all rows' paths in order, each followed by a NUL: the same in every part.
        rule: which inputs belong to a shard.
        by_status: how many rows of each status, where that was counted.
        by_label: how many rows of each label, likewise.
        rows_sha256: of all rows in order; empty in a part of an older version.
    """

    terms: RunKey
    shard: Shard
    rows: int
    all_inputs: int
    all_paths_sha256: str
    rule: Rule = field(default=Rule.CRC32, metadata={"added_in": 1})
    by_status: Mapping[str, int] = field(default_factory=dict, metadata={"added_in": 1})
    by_label: Mapping[str, int] = field(default_factory=dict, metadata={"added_in": 1})
    rows_sha256: str = field(default="", metadata={"added_in": 1})

    def __post_init__(self) -> None:
        index, count = self.shard.index, self.shard.count
        typed_json.require(1 <= index <= count <= MAX_SHARDS, f"the shard {index}/{count}")
        typed_json.require(0 <= self.rows <= self.all_inputs, f"{self.rows} rows of {self.all_inputs}")

    def to_json(self) -> str:
        """Return the text that is stored beside or in the part."""
        return json.dumps({"edge_fm_part": 1, **asdict(self)}, indent=2)

    @classmethod
    def of(cls, path: str) -> Self:
        """Read the metadata of a part file; a Parquet file may be at a URL.

        Raises:
            SourceError: it is missing, or no part.
        """
        if not remote.is_url(path) and not Path(path).is_file():
            raise SourceError(f"there is no part {path!r}: check the name")
        try:
            is_parquet = path.lower().endswith(".parquet")
            text = (
                files.parquet_meta(path)
                if is_parquet
                else regular_file.read_text(meta_path(Path(path)), _MAX_META_BYTES)
            )
            values = bounded_json.loads(text)
            del values["edge_fm_part"]
            part: Self = typed_json.read(cls, values, "part")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{path} does not say which part it is ({error!r:.200}): it was not made with 'edge-fm label --shard', "
                f"or {meta_path(Path(path)).name} is missing"
            ) from error
        return part


def write_part(output: Path, rows: Iterable[Row], part: Part) -> None:
    """Write a part file, with its metadata inside (Parquet) or beside it.

    Raises:
        OutputError: it cannot be written.
    """
    digest = RowsDigest()

    def meta() -> str:
        return replace(part, rows_sha256=digest.hexdigest()).to_json()

    files.write(output, digest.of(rows), TableFormat(top=part.terms.top, meta=meta))
    if output.suffix.lower() != ".parquet":
        with atomic(meta_path(output)) as beside:
            beside.write_text(meta() + "\n", encoding="utf-8")


class RowsDigest:
    """SHA-256 of rows, the same in every format of a file."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, and add each to the digest."""
        for row in rows:
            self._digest.update(encode(row, _NO_STAMP))
            yield row

    def hexdigest(self) -> str:
        """Return the digest of the rows so far."""
        return self._digest.hexdigest()


def meta_path(part: Path) -> Path:
    """Return the path of the metadata of a CSV or JSON-lines part."""
    return part.with_name(f"{part.name}.meta.json")


def belonging(inputs: Sequence[str], shard: Shard) -> list[str]:
    """Return the inputs of one shard, in order."""
    return [locator for locator in inputs if _shard_of(locators.text(locator), shard.count) == shard.index]


def paths_sha256(paths: Iterable[str]) -> str:
    """Return the SHA-256 of rows' paths."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.encode() + b"\0")
    return digest.hexdigest()


def merge(names: Sequence[str | Path], output: Path, *, spreadsheet_safe: bool = False) -> int:
    """Merge parts into the file of an unsharded run; return the number of rows.

    Args:
        names: paths or URLs of the parts, in any order.
        output: `.csv`, `.jsonl` or `.parquet`.
        spreadsheet_safe: whether to protect the cells of a CSV from spreadsheets.

    Raises:
        SourceError: a part or a row is missing, doubled, changed, or from another run; nothing is written.
        OutputError: the output cannot be written.
    """
    paths = list(map(str, names))
    if not paths:
        raise SourceError("no part was given: name the files that 'edge-fm label --shard' wrote")
    parts = _one_run([(path, Part.of(path)) for path in paths])
    files_at_once = posix.raise_descriptor_limit()
    if files_at_once is not None and len(paths) > files_at_once - _OTHER_FILES:
        raise SourceError(
            f"{len(paths):,} parts are more than the {files_at_once:,} files that may be open at a time: raise that with "
            f"'ulimit -n {len(paths) + _OTHER_FILES}', and give the same command again"
        )
    if str(output.resolve()) in {os.path.realpath(path) for path in paths}:
        raise OutputError(f"{output} is one of the parts: choose another output with -o")
    first = parts[0][1]
    form = TableFormat(top=first.terms.top, spreadsheet_safe=spreadsheet_safe)
    files.check(output, form)
    streams = [_checked(path, part) for path, part in parts]
    by_place = first.rule is Rule.RANGE
    rows = (
        chain.from_iterable(streams) if by_place else heapq.merge(*streams, key=lambda row: row.path.encode())
    )
    with OutputLock(output):
        sweep(output)
        files.write(output, _proved(rows, first), form)
    return first.all_inputs


def _one_run(parts: Sequence[tuple[str, Part]]) -> list[tuple[str, Part]]:
    """Return the parts by shard; raise SourceError unless they are all of one run, each once."""
    first_path, first = parts[0]
    seen: dict[int, tuple[str, Part]] = {}
    for path, part in parts:
        if (part.terms, part.shard.count, part.rule) != (first.terms, first.shard.count, first.rule):
            raise SourceError(
                f"{path} was made with another model, other options or other shards than {first_path}"
            )
        if (part.all_inputs, part.all_paths_sha256) != (first.all_inputs, first.all_paths_sha256):
            raise SourceError(
                f"{path} was made of another list of inputs than {first_path}: files came or went between"
            )
        if part.shard.index in seen:
            raise SourceError(
                f"{path} and {seen[part.shard.index][0]} are both shard {part.shard.index}/{first.shard.count}: "
                "leave one of them out"
            )
        seen[part.shard.index] = path, part
    missing = [str(index) for index in range(1, first.shard.count + 1) if index not in seen]
    if missing:
        raise SourceError(f"of {first.shard.count} shards, {_listed(missing)} are missing")
    return [seen[index] for index in sorted(seen)]


def _checked(path: str, part: Part) -> Iterator[Row]:
    """Yield the rows of a part, checked against its metadata."""
    rows = 0
    last = b""
    digest = RowsDigest()
    for row in digest.of(files.read(path)):
        key = row.path.encode()
        if part.rule is Rule.CRC32 and _shard_of(row.path, part.shard.count) != part.shard.index:
            raise SourceError(f"{path} has a row of another shard: {row.path!r}")
        if rows and key <= last:
            raise SourceError(f"{path} has a row twice or out of order: {row.path!r}")
        rows, last = rows + 1, key
        yield row
    if rows != part.rows:
        raise SourceError(
            f"{path} has {rows:,} rows and should have {part.rows:,}: copy it again, or label again"
        )
    if part.rows_sha256 and digest.hexdigest() != part.rows_sha256:
        raise SourceError(f"{path} was changed after it was written: copy it again, or label again")


def _proved(rows: Iterable[Row], part: Part) -> Iterator[Row]:
    """Yield all rows, and check at the end that their paths are those of every part."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.path.encode() + b"\0")
        yield row
    if digest.hexdigest() != part.all_paths_sha256:
        raise SourceError(
            "the rows of all parts together are not those of the inputs: label the shards again"
        )


def _listed(indices: Sequence[str], most: int = 10) -> str:
    return ", ".join(indices[:most]) + (", ..." if len(indices) > most else "")


def _shard_of(path: str, count: int) -> int:
    return zlib.crc32(path.encode()) % count + 1
