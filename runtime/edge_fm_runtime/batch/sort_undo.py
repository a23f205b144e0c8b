"""Undo what `sort` did, without ever removing the last copy of a file.

The journal names each change before it is made, one JSON object per line: `way`, `source`, `target`. A target
is always two levels below the sorted folder, so it is found also if that folder was moved.
"""

import contextlib
import errno
import filecmp
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted import bounded_json
from edge_fm_runtime.untrusted.regular_file import read_lines

JOURNAL = ".edge-fm-sort.jsonl"
COPY, LINK, MOVE = "copy", "link", "move"

_BLOCK = 2**20
"""Bytes compared at a time."""


@dataclass(frozen=True, kw_only=True)
class UndoResult:
    """Outcome of an undo.

    Attributes:
        undone: number of files taken back.
        kept: files left where they are, each with the reason.
        torn: number of journal lines that a kill or a full disk cut short.
    """

    undone: int
    kept: tuple[tuple[Path, str], ...]
    torn: int


def partial_path(target: Path) -> Path:
    """Return the path at which a file is written before it is whole; its name is short."""
    return target.with_name(f".edge-fm-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.partial")


def undo(into: Path) -> UndoResult:
    """Take back every change that the journal names, last first.

    A copy is removed only while its source holds the same bytes, a link only while it leads to its source. A
    moved file goes back unless its source exists again. What is kept stays in the journal for another undo.

    Args:
        into: the folder that files were sorted into.

    Raises:
        SourceError: there is no journal, or it cannot be read.
        OutputError: the journal cannot be rewritten.
    """
    journal = into / JOURNAL
    records, torn = _read(journal)
    kept: list[tuple[Path, str]] = []
    lines: list[str] = []
    undone = 0
    for record in reversed(records):
        target = _target(into, record)
        outcome = _undo(record["way"], Path(record["source"]), target)
        if outcome:
            kept.append((target, outcome))
            lines.insert(0, json.dumps(record))
        undone += outcome == ""
    try:
        for folder in {_target(into, record).parent for record in records}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        _rewrite(journal, [*lines, *torn])
    except OSError as error:
        raise OutputError(f"{error.filename or into} cannot be written: {error.strerror}") from error
    return UndoResult(undone=undone, kept=tuple(kept), torn=len(torn))


def placed(into: Path, way: str) -> dict[str, list[Path]]:
    """Return the targets of each source that the journal names and that are still what was made.

    Args:
        into: the folder that files were sorted into.
        way: how they got there; what was moved has no source any more.

    Raises:
        SourceError: the journal cannot be read.
    """
    found: dict[str, list[Path]] = {}
    if way == MOVE or not os.path.lexists(into / JOURNAL):
        return found
    for record in _read(into / JOURNAL)[0]:
        source, target = Path(record["source"]), _target(into, record)
        if record["way"] == way and _is_same(way, source, target):
            found.setdefault(record["source"], []).append(target)
    return found


def _is_same(way: str, source: Path, target: Path) -> bool:
    """Return whether a target is still the link to its source, or the copy of it."""
    try:
        if way == LINK:
            return target.is_symlink() and target.samefile(source)
        return target.is_file() and not target.is_symlink() and filecmp.cmp(source, target)
    except OSError:
        return False


def _target(into: Path, record: dict[str, str]) -> Path:
    """Return where a file was sorted to: folder and name, below the sorted folder as it is named now."""
    return into.absolute().joinpath(*Path(record["target"]).parts[-2:])


def _undo(way: str, source: Path, target: Path) -> str | None:
    """Undo one change; return why it is kept, "" if it is undone, None if there is nothing to undo."""
    if target.parent.is_symlink():
        return "its folder is a link, which no sort makes"
    try:
        if way != LINK:
            partial_path(target).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the name that partial files of version 0.1.0 have
                target.with_name(f".{target.name}.partial").unlink(missing_ok=True)
        return _UNDO[way](source, target) if os.path.lexists(target) else None
    except OSError as error:
        return f"it cannot be taken back: {error.filename or source}: {error.strerror}"


def _read(journal: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the whole records of a journal, and what is left of the lines that are torn."""
    try:
        lines = [line.rstrip("\r\n") for line in read_lines(journal, errors="replace")]
    except FileNotFoundError:
        raise SourceError(
            f"{journal.parent} has no {JOURNAL}: nothing was sorted into it, or it was undone already"
        ) from None
    except OSError as error:
        raise SourceError(f"{journal} cannot be read: {error.strerror}") from error
    records: list[dict[str, str]] = []
    torn: list[str] = []
    for line in filter(str.strip, lines):
        record = _record(line)
        if record is None:
            start = max(0, line.rfind("{"))
            record = _record(line[start:])  # one that was appended to a torn line
            torn.append(line if record is None else line[:start])
        if record is not None:
            records.append(record)
    return records, torn


def _record(line: str) -> dict[str, str] | None:
    """Return the record of a line, None if it is no whole record."""
    try:
        value: Any = bounded_json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("way") not in list(_UNDO):
        return None
    names = value.get("source"), value.get("target")
    is_whole = all(isinstance(name, str) and os.path.isabs(name) and "\0" not in name for name in names)
    if not is_whole:
        return None
    place = Path(value["target"]).parts[1:][
        -2:
    ]  # folder and name, which must not lead out of the sorted folder
    return value if len(place) == 2 and ".." not in place else None  # noqa: PLR2004


def _rewrite(journal: Path, lines: list[str]) -> None:
    if not lines:
        journal.unlink()
        return
    partial = partial_path(journal)
    partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    partial.replace(journal)


def _undo_copy(source: Path, target: Path) -> str:
    """Remove a copy; return why it is kept, empty if it is removed."""
    if target.is_symlink() or not target.is_file():
        return "it is no longer the copy that was made"
    if not source.is_file():
        return f"{source} is gone, so this may be the last copy: put it back, or delete this one yourself"
    if source.samefile(target) or not filecmp.cmp(source, target, shallow=False):
        return f"{source} has changed since, so this may be the last copy: delete it yourself if it is not"
    target.unlink()
    return ""


def _undo_link(source: Path, target: Path) -> str:
    """Remove a link; return why it is kept, empty if it is removed."""
    if not target.is_symlink():
        return "it is no longer the link that was made"
    if not source.exists() or not target.samefile(source):
        return f"it does not lead to {source}"
    target.unlink()
    return ""


def _undo_move(source: Path, target: Path) -> str:
    """Move a file back; return why it is kept, empty if it is moved or was never whole."""
    if not os.path.lexists(source):
        source.parent.mkdir(parents=True, exist_ok=True)
        move(target, source)
        return ""
    if target.is_file() and source.is_file() and not target.samefile(source) and _begins_with(source, target):
        target.unlink()  # a copy that a kill cut short, or that was whole before its source was removed
        return ""
    return f"{source} exists again: rename one of them"


def _begins_with(whole: Path, part: Path) -> bool:
    """Return whether a file begins with all bytes of another one."""
    with whole.open("rb") as longer, part.open("rb") as shorter:
        while block := shorter.read(_BLOCK):
            if longer.read(len(block)) != block:
                return False
    return True


_UNDO = {COPY: _undo_copy, LINK: _undo_link, MOVE: _undo_move}


def copy(source: Path, target: Path) -> None:
    """Copy a file; it appears under its name only when it is whole.

    Raises:
        FileExistsError: the target exists.
        OSError: it cannot be copied.
    """
    _require_free(target)
    partial = partial_path(target)
    try:
        shutil.copy2(source, partial)
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Move a file, across filesystems too: the source goes only once the target is whole.

    Raises:
        FileExistsError: the target exists.
        OSError: it cannot be moved.
    """
    _require_free(target)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target)
        source.unlink()


def _require_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "File exists", os.fspath(target))
