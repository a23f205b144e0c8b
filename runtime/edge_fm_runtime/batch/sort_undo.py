"""Undo what `sort` did, without ever removing the last copy of a file.

The journal names each change before it is made, one JSON object per line: `way`, `source`, `target`.
"""

import errno
import filecmp
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_fm_runtime.errors import OutputError, SourceError

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
    """Return the name under which a file is written before it is whole."""
    return target.with_name(f".{target.name}.partial")


def undo(into: Path) -> UndoResult:
    """Take back every change that the journal names, last first.

    A copy is removed only while its source holds the same bytes, a link only while it leads to its source. A
    moved file goes back unless its source exists again. What is kept stays in the journal for another undo.

    Args:
        into: the folder that files were sorted into.

    Raises:
        SourceError: there is no journal, or it cannot be read.
        OutputError: a file cannot be put back.
    """
    journal = into / JOURNAL
    records, torn = _read(journal)
    kept: list[tuple[dict[str, str], str]] = []
    undone = 0
    try:
        for record in reversed(records):
            source, target = Path(record["source"]), Path(record["target"])
            partial_path(target).unlink(missing_ok=True)
            if not os.path.lexists(target):
                continue
            reason = _UNDO[record["way"]](source, target)
            if reason:
                kept.append((record, reason))
            else:
                undone += 1
        for folder in {Path(record["target"]).parent for record in records}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        _rewrite(journal, [record for record, _ in reversed(kept)])
    except OSError as error:
        raise OutputError(
            f"{error.filename or into} cannot be put back: {error.strerror}. Run the same command again once it can"
        ) from error
    return UndoResult(
        undone=undone, kept=tuple((Path(record["target"]), reason) for record, reason in kept), torn=torn
    )


def _read(journal: Path) -> tuple[list[dict[str, str]], int]:
    """Return the whole records of a journal, and the number of lines that are torn."""
    try:
        lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise SourceError(
            f"{journal.parent} has no {JOURNAL}: nothing was sorted into it, or it was undone already"
        ) from None
    except OSError as error:
        raise SourceError(f"{journal} cannot be read: {error.strerror}") from error
    records, torn = [], 0
    for line in filter(str.strip, lines):
        record = _record(line)
        if record is None:
            torn += 1
            record = _record(line[line.rfind("{") :])  # one that was appended to a torn line
        if record is not None:
            records.append(record)
    return records, torn


def _record(line: str) -> dict[str, str] | None:
    """Return the record of a line, None if it is no whole record."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("way") not in _UNDO:
        return None
    names = value.get("source"), value.get("target")
    is_whole = all(isinstance(name, str) and os.path.isabs(name) and "\0" not in name for name in names)
    return value if is_whole else None


def _rewrite(journal: Path, records: list[dict[str, str]]) -> None:
    if not records:
        journal.unlink()
        return
    partial = partial_path(journal)
    partial.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    partial.replace(journal)


def _undo_copy(source: Path, target: Path) -> str:
    """Remove a copy; return why it is kept, empty if it is removed."""
    if target.is_symlink() or not target.is_file():
        return "it is no longer the copy that was made"
    if not source.is_file() or source.samefile(target) or not filecmp.cmp(source, target, shallow=False):
        return f"{source} does not hold the same bytes, so this may be the last copy"
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
