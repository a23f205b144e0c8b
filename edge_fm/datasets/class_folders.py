"""Find the class folders of a folder of pictures, and the files in them."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_fm.datasets.dataset import MIN_CLASSES
from edge_fm_runtime.errors import DataError

_MAX_NAME = 200
"""Longest class name in characters, as a passport takes it."""

_EXPECTED = "give a folder with one sub-folder of pictures per class"


class _Part(StrEnum):
    TRAINING = "train"
    VALIDATION = "val"
    TEST = "test"


_PARTS = {
    "train": _Part.TRAINING,
    "training": _Part.TRAINING,
    "val": _Part.VALIDATION,
    "valid": _Part.VALIDATION,
    "validation": _Part.VALIDATION,
    "test": _Part.TEST,
    "testing": _Part.TEST,
}
"""Names of folders that hold a part of the pictures, in lower case."""


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """Folders of the training and test part of a folder of pictures.

    Attributes:
        training: folders whose sub-folders are classes; their pictures are to be split where `test` is empty.
        test: the same for a test part that the folder itself has.
    """

    training: tuple[Path, ...]
    test: tuple[Path, ...] = ()


def find_layout(path: Path, excluded: Path | None = None) -> FolderLayout:
    """Find the parts of a folder: `train` with `val` or `test` inside, in any case, or classes only.

    Without `test`, `val` is the test part; with it, `val` belongs to the training part.

    Args:
        path: the folder.
        excluded: a folder inside that holds no class.

    Raises:
        DataError: the folder cannot be read, or has parts and other folders side by side.
    """
    children = _sub_folders(path, excluded)
    found: dict[_Part, Path] = {}
    others = []
    for child in children:
        part = _PARTS.get(child.name.lower())
        if part is None:
            others.append(child)
        elif part in found:
            raise DataError(f"{path} has {found[part].name} and {child.name}: expected only one of them")
        else:
            found[part] = child
    held_out = [found[part] for part in (_Part.TEST, _Part.VALIDATION) if part in found]
    training = found.get(_Part.TRAINING)
    if not found or (others and not held_out and _files_inside(found[_Part.TRAINING])):
        return FolderLayout(training=(path,))  # "train" beside "bus" and "car" is a class
    names = ", ".join(child.name for child in children)
    if others:
        raise DataError(
            f"{path} has {names}: {', '.join(part.name for part in found.values())} and class folders side by side. "
            f"Expected train and test with class folders inside, or class folders only; rename a class of that "
            f"name, move test pictures elsewhere and give them with --test, or put _ before a folder to leave it out"
        )
    if training is None:
        raise DataError(f"{path} has {names} and no train: add the training part, or {_EXPECTED}")
    if not held_out:
        raise DataError(
            f"{path} has only the folder {names}: give {training}, or add a folder test beside it"
        )
    for folder in found.values():
        if not _sub_folders(folder):
            raise DataError(
                f"{path} has {names}, and {folder} has no class folders: put the pictures of each part into one "
                "sub-folder per class, or rename the folders if train and test are your classes"
            )
    return FolderLayout(training=(training, *held_out[1:]), test=(held_out[0],))


def find_classes(
    roots: Sequence[Path], excluded: Path | None = None, least: int = MIN_CLASSES
) -> dict[str, tuple[Path, ...]]:
    """Return the folders of each class, sorted by name.

    Args:
        roots: folders whose sub-folders are classes.
        excluded: a folder inside that holds no class.
        least: number of classes that there must be.

    Raises:
        DataError: a folder cannot be read, there are fewer than `least` classes, or a name is unusable.
    """
    by_name: dict[str, list[Path]] = {}
    for root in roots:
        for folder in _sub_folders(root, excluded):
            by_name.setdefault(folder.name, []).append(folder)
    if len(by_name) < least:
        raise DataError(
            _too_few_classes(roots[0], [folder for found in by_name.values() for folder in found])
        )
    for name, folders in by_name.items():
        _check_name(name, folders[0])
    same: dict[str, str] = {}
    for name in sorted(by_name):
        other = same.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DataError(
                f"{roots[0]} has the classes {other} and {name}, which differ only in case or accents' encoding: put their pictures into one folder"
            )
    folders = [folder for found in by_name.values() for folder in found]
    if not any(_files_inside(folder) for folder in folders) and all(map(_sub_folders, folders)):
        raise DataError(
            f"{roots[0]} has {', '.join(sorted(by_name)[:3])}, which hold only folders: give the folder whose sub-folders are "
            f"the classes, such as {folders[0]}, or move the pictures up"
        )
    return {name: tuple(by_name[name]) for name in sorted(by_name)}


def require_same_classes(
    training: Mapping[str, object], test: Mapping[str, object], name: str, where: str
) -> None:
    """Check that a test part has the classes of the training part.

    Args:
        training: classes of the training part.
        test: classes of the test part.
        name: path of the training part.
        where: path of the test part.

    Raises:
        DataError: a class is missing in one of them.
    """
    for missing, has, lacks in (
        (test.keys() - training.keys(), where, name),
        (training.keys() - test.keys(), name, where),
    ):
        if missing:
            raise DataError(
                f"{has} has the class {', '.join(sorted(missing))}, which {lacks} lacks: add pictures of it there, or "
                "remove the folder; names must be the same, case included"
            )


def picture_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its sub-folders, sorted; names that start with . or _ are left out.

    Links to folders are not followed.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(_unreadable(error.filename or folder, error)) from error

    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    yield from sorted(files)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _sub_folders(path: Path, excluded: Path | None = None) -> list[Path]:
    """Return the folders in a folder that may be classes, sorted."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not _is_hidden(entry.name))
        folders = [path / name for name in names]
        for folder in folders:
            if folder.is_symlink() and path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{folder} is a link to a folder that holds it: remove the link")
        return [folder for folder in folders if excluded is None or not folder.samefile(excluded)]
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise DataError(_unreadable(path, error)) from error


def _files_inside(folder: Path) -> bool:
    """Return whether a folder itself holds files."""
    try:
        with os.scandir(folder) as entries:
            return any(not entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    except OSError as error:
        raise DataError(_unreadable(folder, error)) from error


def _unreadable(path: object, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else "its links form a loop"
    return f"the folder {path} cannot be read: {reason}. Give a folder that you may read"


def _too_few_classes(path: Path, folders: list[Path]) -> str:
    """Return the message for a folder of fewer than two classes, with the remedy that fits."""
    if not folders:
        files = sum(1 for _ in picture_files(path))
        inside = f"{files:,} files and no sub-folders" if files else "no sub-folders"
        return (
            f"{path} has {inside}, expected at least two classes: make one sub-folder of pictures per class"
        )
    only = folders[0]
    if len(_sub_folders(only)) >= MIN_CLASSES:
        return (
            f"{path} has only the sub-folder {only.name}, expected at least two classes: did you mean {only}?"
        )
    return f"{path} has only the class {only.name}, expected at least two classes: add a folder of other pictures"


def _check_name(name: str, folder: Path) -> None:
    """Refuse a folder name that no file could carry as a label."""
    if not name.isprintable() or len(name) > _MAX_NAME or not name.strip():
        raise DataError(
            f"{folder} cannot be a class: expected a name of printable UTF-8 with at most {_MAX_NAME} characters; "
            "rename the folder"
        )
