"""Sort labelled files into one folder for each label.

Nothing is overwritten: a name that is taken gets a number. The undo journal names every change in advance.
"""

import functools
import hashlib
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_fm_runtime.batch import sort_undo
from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.lock import OutputLock, refuse_irregular
from edge_fm_runtime.batch.outputs.rows import Row
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.status import Status

UNKNOWN, REVIEW = "_unknown", "_review"
_MAX_NAME = 255
"""Bytes of a file's name on the usual file systems."""

_MAX_SUFFIX = 32
"""Bytes of a name's last part that still count as a suffix, which a cut keeps."""


class Way(StrEnum):
    """Way in which a file gets into its folder."""

    COPY = sort_undo.COPY
    LINK = sort_undo.LINK
    MOVE = sort_undo.MOVE


@dataclass(frozen=True)
class Placement:
    """One file and its target."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class SortPlan:
    """Files to sort.

    Attributes:
        placements: files with their targets.
        done: number of files that an earlier run, which may have been cut short, has sorted already.
        skipped: number of rows without a label or a file.
    """

    placements: list[Placement]
    done: int
    skipped: int


def folder_name(label: str) -> str:
    r"""Return a label as a folder's name: `/ \ :`, control characters and leading dots become `_`.

    A name that is too long is cut and ends in a hash of the label.
    """
    name = "".join(
        "_" if character in "/\\:" or not character.isprintable() else character for character in label
    )
    stripped = name.lstrip(".")
    name = "_" * (len(name) - len(stripped)) + stripped or "_"
    if len(os.fsencode(name)) <= _MAX_NAME:
        return name
    ending = f"-{hashlib.sha256(label.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return _cut(name, _MAX_NAME - len(ending)) + ending


def _cut(name: str, size: int) -> str:
    """Return as many characters of a name as have at most `size` bytes."""
    sizes = itertools.accumulate(len(os.fsencode(character)) for character in name)
    return name[: sum(1 for total in sizes if total <= size)]


def plan(table: Path, into: Path, way: Way, review_below: float = 0) -> SortPlan:
    """Return the target of each labelled file.

    Args:
        table: what `edge-fm label` wrote.
        into: the folder of folders.
        way: how the files will get there.
        review_below: answers with a lower confidence go to `_review`, in [0, 1].

    Raises:
        SourceError: the table cannot be read, has no rows, or has a file twice.
    """
    placements: list[Placement] = []
    done = rows = 0
    taken: set[Path] = set()
    seen: set[str] = set()
    earlier = sort_undo.placed(into, way)
    real = functools.cache(os.path.realpath)
    for row in files.read(table):
        rows += 1
        source = Path(locators.from_text(row.path))
        if not row.status.labelled or not os.path.isfile(source):
            continue
        place = os.path.join(real(source.parent), source.name)
        if place in seen:
            raise SourceError(f"{table} has two rows for {row.path!r}: remove one of them, or label again")
        seen.add(place)
        folder = into / _folder(row, review_below)
        if any(target.parent.name == folder.name for target in earlier.get(os.path.abspath(source), ())):
            done += 1
            continue
        target = next(
            path for path in _names(folder, source) if path not in taken and not os.path.lexists(path)
        )
        taken.add(target)
        placements.append(Placement(source, target))
    if not rows:
        raise SourceError(f"{table} has no rows: label a folder first, edge-fm label FOLDER -o {table}")
    return SortPlan(placements=placements, done=done, skipped=rows - done - len(placements))


def carry_out(
    placements: list[Placement], into: Path, way: Way, listener: Callable[[int, int], None]
) -> None:
    """Copy, link or move every file; `sort_undo.undo` reverses it from any point.

    Raises:
        OutputError: a file cannot be placed; `plan` and another call do the rest.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        path = into / sort_undo.JOURNAL
        refuse_irregular(path)
        with OutputLock(path), path.open("a", encoding="utf-8") as journal:
            if journal.tell():
                journal.write("\n")  # a line that was torn ends here
            for done, placement in enumerate(placements, 1):
                source = os.path.abspath(placement.source)
                record = {"way": way, "source": source, "target": os.path.abspath(placement.target)}
                journal.write(json.dumps(record) + "\n")
                journal.flush()
                placement.target.parent.mkdir(exist_ok=True)
                _ACTIONS[way](Path(source), placement.target)
                listener(done, len(placements))
    except OSError as error:
        raise OutputError(
            f"{error.filename or into} cannot be placed: {error.strerror}. The same command does the rest, and "
            f"'edge-fm sort --undo --into {shlex.quote(str(into))}' undoes what was done"
        ) from error


def _folder(row: Row, review_below: float) -> str:
    label, confidence = row.ranking[0]
    if row.status is Status.UNKNOWN:
        return UNKNOWN
    return REVIEW if float(confidence) < review_below else folder_name(label)


def _names(folder: Path, source: Path) -> Iterator[Path]:
    yield folder / source.name
    suffix = source.suffix if len(os.fsencode(source.suffix)) <= _MAX_SUFFIX else ""
    stem = source.name.removesuffix(suffix)
    for number in itertools.count(2):
        ending = f"-{number}{suffix}"
        yield folder / (_cut(stem, _MAX_NAME - len(os.fsencode(ending))) + ending)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source)


_ACTIONS: dict[Way, Callable[[Path, Path], object]] = {
    Way.COPY: sort_undo.copy,
    Way.LINK: _link,
    Way.MOVE: sort_undo.move,
}
