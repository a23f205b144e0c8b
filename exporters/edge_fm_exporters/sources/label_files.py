"""Read class names from label files, given or found beside a model."""

import json
import re
from pathlib import Path
from typing import Any

from edge_fm_runtime.errors import DataError

_NAMES = (
    *("labels.txt", "class_names.txt", "classes.txt", "class_indices.json"),
    *("labels.json", "class_names.json", "classes.json"),
)
"""Names under which label files lie beside models, the most usual first."""

_MAX_BYTES = 2**20
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[:)]\s*|\.(?!\d)\s*|[\s,]+)(\S.*)")
_EXPECTED = (
    "expected a text file with one name on each line, a JSON list, or a JSON dictionary of names and indices"
)


def parse_labels(text: str) -> tuple[str, ...]:
    """Return the class names of `--labels`: A,B,... or a file of them.

    Raises:
        DataError: the file does not exist or holds no class names.
    """
    path = Path(text)
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # many names are no path: too long, or with a character that none has
        is_there = False
    if is_there:
        return read_label_file(path)
    if "," not in text:
        raise DataError(
            f"there is no file {text!r} with class names: give one, or the names themselves as A,B,..."
        )
    names = tuple(label.strip() for label in text.split(","))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"the name {twice!r:.60} is given twice: expected another one for each class")
    return names


def find_label_file(model: Path) -> Path | None:
    """Return the file with class names that lies beside a model, or inside it if it is a folder."""
    folders = (model, model.parent) if model.is_dir() else (model.parent,)
    found = (folder / name for folder in folders for name in _NAMES)
    return next((path for path in found if path.is_file()), None)


def read_label_file(path: Path) -> tuple[str, ...]:
    """Return the class names of a file, in the order of the outputs.

    Numbers before the names are taken away where every line has one and they are 0, 1, 2, ... in order.

    Args:
        path: text with one name on each line, or one line of A,B,...; a JSON list; or a JSON dictionary from
            indices to names or from names to indices.

    Raises:
        DataError: the file cannot be read or holds no class names.
    """
    names = _names(path, _read(path))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has the name {twice!r:.60} twice: expected another one for each class")
    return names


def names_in_order(values: Any) -> tuple[str, ...]:  # noqa: ANN401  # JSON
    """Return the names of a list, or of a dictionary from indices to names or from names to indices.

    Raises:
        ValueError: it has another form.
    """
    if isinstance(values, list):
        pairs = dict(enumerate(values))
    elif isinstance(values, dict) and all(type(index) is int for index in values.values()):
        pairs = {index: name for name, index in values.items()}
        if len(pairs) < len(values):
            raise ValueError("two names have the same index")
    elif isinstance(values, dict):
        pairs = {int(index): name for index, name in values.items()}
    else:
        raise ValueError("neither a list nor a dictionary")
    if sorted(pairs) != list(range(len(pairs))) or not all(isinstance(name, str) for name in pairs.values()):
        raise ValueError("no name for each of the indices 0, 1, 2, ...")
    if not pairs:
        raise ValueError("no names")
    return tuple(pairs[index].strip() for index in range(len(pairs)))


def _names(path: Path, text: str) -> tuple[str, ...]:
    if path.suffix.lower() == ".json":
        try:
            return names_in_order(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{path} holds no class names ({error}): {_EXPECTED}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and "," in lines[0]:
        lines = [name.strip() for name in lines[0].split(",")]
    if not lines:
        raise DataError(f"{path} is empty: {_EXPECTED}")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(match is not None and int(match[1]) == index for index, match in enumerate(numbered)):
        return tuple(match[2] for match in numbered if match is not None)
    return tuple(lines)


def _read(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} is no regular file: {_EXPECTED}")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"{path} has over {_MAX_BYTES:,} bytes, too many for class names: {_EXPECTED}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error}): {_EXPECTED}") from error
