"""Several data sets as one: a data set in the model's own classes, and photographs that are mapped to them.

A map says which classes each folder of photographs may be: one, several (a photograph of shoes may be any of
Sandal, Sneaker, Ankle boot), or none, which teaches the model to be unsure:

    [photos]
    dress = ["Dress"]
    shoes = ["Sandal", "Sneaker", "Ankle boot"]
    hat = []

Every picture then has a set of allowed classes, and a photograph's folder and person are known to the split.
"""

import csv
import json
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

_FINE = 4
"""Photographs are kept at this many times the model's size, so that they can be turned and zoomed."""

_VALIDATION_SHARE = 0.2

_ROUNDING = 0.01
"""By which probabilities in a file may miss 1 together."""


@dataclass(frozen=True)
class SoftLabels:
    """What another model, of whatever kind, holds photographs to be, in terms of their folders.

    Attributes:
        shares: (N, folders) float32, each row summing to 1.
        groups: (folders, classes) bool, the classes that each folder may be; a row without any is of no class.
    """

    shares: NDArray[np.float32]
    groups: NDArray[np.bool_]


@dataclass(frozen=True)
class Photographs:
    """Photographs with the classes that each may be.

    Attributes:
        contents: each (height, width) uint8 grey without bars, four times the model's size on its longer side.
        tensors: (N, size, size, 1) uint8, the same as the runtime makes them.
        allowed: (N, classes) bool; a row without any is of no class that the model knows.
        folders: each one's class folder.
        names: each one's path relative to the photographs' folder, with `/`.
        unreadable: files that were left out, with the reason.
        answers: what another model holds each to be, if one was asked.
    """

    contents: tuple[NDArray[np.uint8], ...]
    tensors: NDArray[np.uint8]
    allowed: NDArray[np.bool_]
    folders: tuple[str, ...]
    names: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    answers: SoftLabels | None = None

    def chosen(self, indices: NDArray[np.intp]) -> "Photographs":
        """Return those at the given places, without what could not be read."""
        answers = self.answers
        return Photographs(
            tuple(self.contents[index] for index in indices),
            self.tensors[indices],
            self.allowed[indices],
            tuple(self.folders[index] for index in indices),
            tuple(self.names[index] for index in indices),
            answers=replace(answers, shares=answers.shares[indices]) if answers is not None else None,
        )


def read_map(path: Path, name: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each folder of the data set `name`, the classes that it may be.

    Args:
        path: a TOML file.
        name: the table to read.
        class_names: the model's.

    Raises:
        DataError: the file cannot be read, lacks the table, or names a class that the model lacks.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"the map {path} cannot be read: {error}") from error
    table = tables.get(name)
    if not isinstance(table, dict) or not table:
        raise DataError(
            f'{path} has no table [{name}]: write one line for each folder, such as hat = ["Hat"]'
        )
    return check_map(table, str(path), class_names)


def check_map(table: Mapping[str, Any], path: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return a map of folders to class names after checking every entry.

    Args:
        table: lists of class names by folder.
        path: where it was read, for the message.
        class_names: the model's.

    Raises:
        DataError: an entry is no list, or names a class that the model lacks.
    """
    for folder, classes in table.items():
        if not isinstance(classes, list) or any(not isinstance(entry, str) for entry in classes):
            raise DataError(f'{path}: {folder} = {classes!r} is no list of class names, such as ["Dress"]')
        strangers = sorted(set(classes) - set(class_names))
        if strangers:
            raise DataError(
                f"{path}: {folder} names {', '.join(strangers)}, which the model lacks: "
                f"it has {', '.join(class_names)}"
            )
    return {folder: tuple(classes) for folder, classes in table.items()}


def read_held_out(path: Path) -> frozenset[str]:
    """Return the paths, relative to the photographs' folder, that are held out for validation.

    Raises:
        DataError: the file cannot be read or has no list `held_out`.
    """
    try:
        held_out = json.loads(path.read_text(encoding="utf-8"))["held_out"]
        return frozenset(str(entry) for entry in held_out)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path} is no split: expected JSON with a list "held_out" of paths ({error})'
        ) from error


@dataclass(frozen=True, kw_only=True)
class PhotographFiles:
    """Photographs on disk, and what is known of them.

    Attributes:
        folder: folder of the photographs; the name of the sub-folder that holds an image is its kind.
        mapping: class names by kind, as `read_map` returns them.
        held_out: paths relative to `folder`, with `/`, that are for validation; a fifth at random if None.
        soft_labels: soft labels as `read_soft_labels` returns them, for the training; a photograph without one is
            taken to be what its folder says.
    """

    folder: Path
    mapping: Mapping[str, Sequence[str]]
    held_out: frozenset[str] | None = None
    soft_labels: Mapping[str, NDArray[np.float32]] | None = None


def read_photographs(
    files: PhotographFiles, class_names: Sequence[str], size: int, seed: int = 0
) -> tuple[Photographs, Photographs]:
    """Return (training, validation) photographs.

    Args:
        files: where they are.
        class_names: the model's class names.
        size: height and width of the model's input in pixels.
        seed: seed of the random fifth that validates.

    Raises:
        DataError: a sub-folder is not in the map, a held-out photograph is missing, no soft label is of any
            photograph of the training, or nothing can be read.
    """
    folder, mapping, held_out, answers = files.folder, files.mapping, files.held_out, files.soft_labels
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    paths = [path for path in paths if not path.name.startswith(".")]
    strangers = sorted({path.parent.name for path in paths} - set(mapping))
    if strangers:
        raise DataError(
            f"{folder} holds {', '.join(strangers)}, which the map does not name: add a line for each"
        )
    names = [path.relative_to(folder).as_posix() for path in paths]
    if held_out is None:
        drawn = np.random.default_rng(seed).permutation(len(names))[: round(len(names) * _VALIDATION_SHARE)]
        held_out = frozenset(names[index] for index in drawn)
    lost = sorted(held_out - set(names))
    if lost:
        raise DataError(f"{len(lost)} held-out pictures are not in {folder}, the first is {lost[0]}")
    training = {name: path for path, name in zip(paths, names, strict=True) if name not in held_out}
    validation = {name: path for path, name in zip(paths, names, strict=True) if name in held_out}
    if answers is not None and not training.keys() & answers.keys():
        raise DataError(
            f"none of the {len(answers)} answers is of a photograph to train on: "
            f"paths are relative to {folder}, such as {next(iter(training), 'dress/1.jpg')}"
        )
    return _read(training, mapping, class_names, size, answers), _read(validation, mapping, class_names, size)


def read_soft_labels(path: Path, folders: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return what a model holds photographs to be: for each path, (folders,) float32 that sum to 1.

    Args:
        path: a CSV file with a column `path`, relative to the photographs' folder, with `/`, and one for each folder of the map.
        folders: of the map, in the order of the result.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a row that is no probabilities.
    """
    answers = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in ("path", *folders) if name not in (rows.fieldnames or ())]
            if lacking:
                raise DataError(
                    f"{path} has no column {', '.join(lacking)}: it needs path and one for each folder of the map"
                )
            for row in rows:
                shares = np.array([float(row[name]) for name in folders], np.float32)
                if not (shares >= 0).all() or abs(float(shares.sum()) - 1) > _ROUNDING:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {row['path']} has no probabilities, 0 or more each and 1 together"
                    )
                answers[str(row["path"])] = shares / shares.sum()
    except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        raise DataError(f"the answers {path} cannot be read: {error}") from error
    return answers


def _read(
    named: Mapping[str, Path],
    mapping: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
    size: int,
    answers: Mapping[str, NDArray[np.float32]] | None = None,
) -> Photographs:
    spec, recipe = InputSpec(size, size, 1), Preprocess()
    contents, tensors, allowed, folders, names, unreadable, shares = [], [], [], [], [], [], []
    own = dict(zip(mapping, np.eye(len(mapping), dtype=np.float32), strict=True))
    for name, path in named.items():
        try:
            data = guard.read_file(path)
            tensors.append(preprocess.tensor_from_bytes(data, spec, recipe))
            picture = preprocess.image_from_bytes(data, spec, recipe)
        except InputError as error:
            unreadable.append((str(path), f"{error.status}: {error}"))
            continue
        scale = min(1.0, size * _FINE / max(picture.shape))
        contents.append(as_uint8(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)))
        allowed.append([label in mapping[path.parent.name] for label in class_names])
        folders.append(path.parent.name)
        names.append(name)
        shares.append((answers or {}).get(name, own[path.parent.name]))
    if not contents:
        raise DataError("no photograph could be read" + (f": {unreadable[0][1]}" if unreadable else ""))
    groups = np.array([[label in classes for label in class_names] for classes in mapping.values()])
    return Photographs(
        tuple(contents),
        np.stack(tensors),
        np.array(allowed, bool),
        tuple(folders),
        tuple(names),
        tuple(unreadable),
        SoftLabels(np.stack(shares), groups) if answers is not None else None,
    )
