"""Photographs with partial labels: a folder maps to one, several or no classes of the model.

A photograph of shoes may be a Sandal, a Sneaker or an Ankle boot. A folder that maps to no class trains the
model to have low confidence:

    [photos]
    dress = ["Dress"]
    shoes = ["Sandal", "Sneaker", "Ankle boot"]
    hat = []
"""

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError, InputError
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.untrusted import bounded_json, typed_json
from edge_fm_runtime.untrusted.regular_file import read_lines, read_text

_MAX_BYTES = 64 * 2**20
"""Size limit of a map or split file."""

_FINE = 4
"""Resolution of the stored photographs as a multiple of the model's size, to allow rotation and zoom."""

_VALIDATION_SHARE = 0.2

_ROUNDING = 0.01
"""Largest difference of a row's sum of probabilities from 1."""


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels of photographs from another model, as probabilities of the folders.

    Attributes:
        probabilities: (N, folders) float32, each row summing to 1.
        folder_classes: (folders, classes) bool, the classes that each folder maps to.
    """

    probabilities: NDArray[np.float32]
    folder_classes: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """Photographs with partial labels.

    Attributes:
        contents: (height, width) uint8 grey images without bars, at most four times the model's size on the
            longer side.
        tensors: (N, size, size, 1) uint8 inputs, as the runtime prepares them.
        allowed: (N, classes) bool, the possible classes; an all-false row is of no known class.
        folders: name of each photograph's folder.
        names: path of each photograph relative to the photographs' folder, with `/`.
        unreadable: (path, reason) of each file that was skipped.
        soft_labels: soft labels from another model; None if there are none.
    """

    contents: tuple[NDArray[np.uint8], ...]
    tensors: NDArray[np.uint8]
    allowed: NDArray[np.bool_]
    folders: tuple[str, ...]
    names: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    soft_labels: SoftLabels | None = None

    def take(self, indices: NDArray[np.intp]) -> "Photographs":
        """Return the photographs at `indices`, without the unreadable files."""
        soft_labels = self.soft_labels
        if soft_labels is not None:
            soft_labels = replace(soft_labels, probabilities=soft_labels.probabilities[indices])
        return Photographs(
            contents=tuple(self.contents[index] for index in indices),
            tensors=self.tensors[indices],
            allowed=self.allowed[indices],
            folders=tuple(self.folders[index] for index in indices),
            names=tuple(self.names[index] for index in indices),
            soft_labels=soft_labels,
        )


def read_map(path: Path, name: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read the possible classes of each folder from a table of a TOML file.

    Args:
        path: TOML file.
        name: name of the table.
        class_names: the model's class names.

    Raises:
        DataError: the file cannot be read, lacks the table, or names a class that the model lacks.
    """
    try:
        tables = tomllib.loads(read_text(path, _MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the map {path} cannot be read: {error}") from error
    table = tables.get(name)
    if not isinstance(table, dict) or not table:
        raise DataError(
            f'{path} has no table [{name}]: write one line for each folder, such as hat = ["Hat"]'
        )
    return check_map(table, str(path), class_names)


def check_map(table: Mapping[str, Any], path: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Check a map of folders to class names and return it.

    Args:
        table: lists of class names by folder.
        path: path of the file, for the message.
        class_names: the model's class names.

    Raises:
        DataError: an entry is not a list of strings, or names a class that the model lacks.
    """
    for folder, classes in table.items():
        if not isinstance(classes, list) or any(not isinstance(entry, str) for entry in classes):
            raise DataError(f'{path}: {folder} = {classes!r} is not a list of class names, such as ["Dress"]')
        unknown = sorted(set(classes) - set(class_names))
        if unknown:
            raise DataError(
                f"{path}: {folder} names {', '.join(unknown)}, which the model lacks: "
                f"it has {', '.join(class_names)}"
            )
    return {folder: tuple(classes) for folder, classes in table.items()}


def read_held_out(path: Path) -> frozenset[str]:
    """Read the paths of the validation photographs, relative to the photographs' folder.

    Raises:
        DataError: the file cannot be read or has no list `held_out`.
    """
    try:
        held_out = bounded_json.loads(read_text(path, _MAX_BYTES))["held_out"]
        return frozenset(typed_json.read(tuple[str, ...], held_out, "held_out"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path} is not a split file: expected JSON with a list "held_out" of paths ({error})'
        ) from error


@dataclass(frozen=True, kw_only=True)
class PhotographFiles:
    """Photographs on disk with their labels and split.

    Attributes:
        folder: folder with a sub-folder of photographs for each label.
        mapping: possible classes by name of the sub-folder, as `read_map` returns them.
        held_out: paths of the validation photographs relative to `folder`, with `/`; a random fifth if None.
        soft_labels: soft labels by path for training, as `read_soft_labels` returns them; a photograph
            without one has its folder as a hard label.
    """

    folder: Path
    mapping: Mapping[str, Sequence[str]]
    held_out: frozenset[str] | None = None
    soft_labels: Mapping[str, NDArray[np.float32]] | None = None


def read_photographs(
    files: PhotographFiles, class_names: Sequence[str], size: int, seed: int = 0
) -> tuple[Photographs, Photographs]:
    """Read (training, validation) photographs.

    Args:
        files: location, labels and split of the photographs.
        class_names: the model's class names.
        size: height and width of the model's input in pixels.
        seed: seed of the random fifth for validation.

    Raises:
        DataError: a sub-folder is not in the map, a held-out photograph is missing, no soft label is for a
            training photograph, or no file can be read.
    """
    folder, mapping, held_out, soft_labels = files.folder, files.mapping, files.held_out, files.soft_labels
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    paths = [path for path in paths if not path.name.startswith(".")]
    unknown = sorted({path.parent.name for path in paths} - set(mapping))
    if unknown:
        raise DataError(
            f"{folder} has {', '.join(unknown)}, which the map does not name: add a line for each"
        )
    names = [path.relative_to(folder).as_posix() for path in paths]
    if held_out is None:
        chosen = np.random.default_rng(seed).permutation(len(names))[: round(len(names) * _VALIDATION_SHARE)]
        held_out = frozenset(names[index] for index in chosen)
    missing = sorted(held_out - set(names))
    if missing:
        raise DataError(
            f"{len(missing)} held-out photographs are not in {folder}, such as {missing[0]}: correct the split file"
        )
    training = {name: path for path, name in zip(paths, names, strict=True) if name not in held_out}
    validation = {name: path for path, name in zip(paths, names, strict=True) if name in held_out}
    if soft_labels is not None and not training.keys() & soft_labels.keys():
        raise DataError(
            f"none of the {len(soft_labels)} soft labels is for a training photograph: "
            f"paths must be relative to {folder}, such as {next(iter(training), 'dress/1.jpg')}"
        )
    return _read(training, mapping, class_names, size, soft_labels), _read(
        validation, mapping, class_names, size
    )


def read_soft_labels(path: Path, folders: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Read soft labels by path, each (folders,) float32 summing to 1.

    Args:
        path: CSV file with a column `path`, relative to the photographs' folder, with `/`, and one column of
            probabilities for each folder of the map.
        folders: names of the folders, in the order of the result.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a row that does not sum to 1.
    """
    soft_labels = {}
    try:
        rows = csv.DictReader(read_lines(path))
        missing = [name for name in ("path", *folders) if name not in (rows.fieldnames or ())]
        if missing:
            raise DataError(
                f"{path} has no column {', '.join(missing)}: expected path and one for each folder of the map"
            )
        for row in rows:
            probabilities = np.array([float(row[name]) for name in folders], np.float32)
            if not (probabilities >= 0).all() or abs(float(probabilities.sum()) - 1) > _ROUNDING:
                raise DataError(
                    f"{path}, line {rows.line_num}: {row['path']} has {probabilities.tolist()}, expected probabilities "
                    "of 0 or more that sum to 1"
                )
            soft_labels[str(row["path"])] = probabilities / probabilities.sum()
    except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        raise DataError(f"the soft labels {path} cannot be read: {error}") from error
    return soft_labels


def _read(
    named: Mapping[str, Path],
    mapping: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
    size: int,
    soft_labels: Mapping[str, NDArray[np.float32]] | None = None,
) -> Photographs:
    spec, preprocessing = InputSpec(size, size, 1), Preprocess()
    contents, tensors, allowed, folders, names, unreadable, soft = [], [], [], [], [], [], []
    hard = dict(zip(mapping, np.eye(len(mapping), dtype=np.float32), strict=True))
    for name, path in named.items():
        try:
            data = guard.read_file(path)
            tensors.append(preprocess.tensor_from_bytes(data, spec, preprocessing))
            image = preprocess.image_from_bytes(data, spec, preprocessing)
        except InputError as error:
            unreadable.append((str(path), f"{error.status}: {error}"))
            continue
        scale = min(1.0, size * _FINE / max(image.shape))
        contents.append(as_uint8(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)))
        allowed.append([label in mapping[path.parent.name] for label in class_names])
        folders.append(path.parent.name)
        names.append(name)
        soft.append((soft_labels or {}).get(name, hard[path.parent.name]))
    if not contents:
        raise DataError("no photograph could be read" + (f": {unreadable[0][1]}" if unreadable else ""))
    folder_classes = np.array([[label in classes for label in class_names] for classes in mapping.values()])
    return Photographs(
        contents=tuple(contents),
        tensors=np.stack(tensors),
        allowed=np.array(allowed, bool),
        folders=tuple(folders),
        names=tuple(names),
        unreadable=tuple(unreadable),
        soft_labels=SoftLabels(np.stack(soft), folder_classes) if soft_labels is not None else None,
    )
