"""Sort labelled files into one folder for each label.

Nothing is overwritten: a name that is taken gets a number. The undo journal names every change in advance.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_fm_runtime.batch import sort_undo
from edge_fm_runtime.batch.inputs import locators
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.rows import Row
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.status import Status

UNKNOWN, REVIEW = "_unknown", "_review"


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


def folder_name(label: str) -> str:
    r"""Return a label as a folder's name: `/ \ :`, control characters and leading dots become `_`."""
    name = "".join(
        "_" if character in "/\\:" or not character.isprintable() else character for character in label
    )
    stripped = name.lstrip(".")
    return "_" * (len(name) - len(stripped)) + stripped or "_"


def plan(table: Path, into: Path, review_below: float) -> tuple[list[Placement], int]:
    """Return the target of each labelled file, and the number of rows without a file.

    Args:
        table: what `edge-fm label` wrote.
        into: the folder of folders.
        review_below: answers with a lower confidence go to `_review`, in [0, 1].

    Raises:
        SourceError: the table cannot be read.
    """
    placements: list[Placement] = []
    left_out = 0
    taken: set[Path] = set()
    for row in files.read(table):
        source = Path(locators.from_text(row.path))
        if not row.status.labelled or not source.is_file():
            left_out += 1
            continue
        folder = into / _folder(row, review_below)
        target = next(
            path for path in _names(folder, source) if path not in taken and not os.path.lexists(path)
        )
        taken.add(target)
        placements.append(Placement(source, target))
    return placements, left_out


def carry_out(
    placements: list[Placement], into: Path, way: Way, listener: Callable[[int, int], None]
) -> None:
    """Copy, link or move every file; `sort_undo.undo` reverses it from any point.

    Raises:
        OutputError: a file cannot be placed.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        with (into / sort_undo.JOURNAL).open("a", encoding="utf-8") as journal:
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
            f"{error.filename or into} cannot be placed: {error.strerror}. What was done so far can be undone "
            f"with 'edge-fm sort --undo --into {into}'"
        ) from error


def _folder(row: Row, review_below: float) -> str:
    label, confidence = row.ranking[0]
    if row.status is Status.UNKNOWN:
        return UNKNOWN
    return REVIEW if float(confidence) < review_below else folder_name(label)


def _names(folder: Path, source: Path) -> Iterator[Path]:
    yield folder / source.name
    number = 2
    while True:
        yield folder / f"{source.stem}-{number}{source.suffix}"
        number += 1


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source)


_ACTIONS: dict[Way, Callable[[Path, Path], object]] = {
    Way.COPY: sort_undo.copy,
    Way.LINK: _link,
    Way.MOVE: sort_undo.move,
}
