"""The mean of the weights of several trainings, as a run of its own.

Trainings that went on from one another (`--start`) end in different corners of one valley, and the middle of a valley is often
better than its corners, at the cost of one network (Wortsman et al., "Model soups", 2022, arXiv:2203.05482). Of trainings that began with
different weights the mean is nothing at all, which shows in what was watched.
"""

import datetime as dt
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets, edge, recipe_loop, recipe_settings, runs
from edge_fm.runs import Run
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.inputs import InputSpec

_KEPT = (runs.CALIBRATION, runs.VALIDATION, runs.LESSON)
"""What an export needs of a run besides its weights."""


@dataclass(frozen=True)
class Averaged:
    """What came of it.

    Attributes:
        run: the mean's record.
        watched: share of the pictures that the trainings watched, and did not train on, that the mean gets right, in [0, 1].
        singly: the same of each run.
    """

    run: Run
    watched: float
    singly: tuple[float, ...]


def average(folders: Sequence[Path], out: Path) -> Averaged:
    """Write a run folder whose weights are the mean of others'; all else is of the last.

    Args:
        folders: of two or more runs of the same member of the edge family.
        out: the folder to make.

    Raises:
        DataError: there are fewer than two, one is no run or lacks a file, they are of different networks, classes or data, were watched on different pictures, or
            `out` is one of them.
        OutputError: the folder cannot be written.
    """
    started_s = time.monotonic()
    told = _told(folders, out)
    images, allowed = _watched(folders)
    models = [_model(folder, run) for folder, run in zip(folders, told, strict=True)]
    if len({tuple(weight.shape for weight in model.get_weights()) for model in models}) > 1:
        raise DataError(f"one of {', '.join(map(str, folders))} is of an earlier network: train it anew")
    singly = tuple(_right(model, images, allowed) for model in models)
    mean, last = models[-1], told[-1]
    mean.set_weights(
        [np.mean(parts, axis=0) for parts in zip(*(model.get_weights() for model in models), strict=True)]
    )
    scores = _scores(mean, last)
    runs.begin(out)
    for name in _KEPT:
        shutil.copyfile(folders[-1] / name, out / name)
    mean.save(out / runs.MODEL)
    run = replace(
        last,
        model=runs.MODEL,
        settings=last.settings | {"mean_of": [str(folder) for folder in folders]},
        scores=scores,
        seconds=round(time.monotonic() - started_s, 1),
        tools=runs.keras_tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    run.save(out)
    return Averaged(run, _right(mean, images, allowed), singly)


def _told(folders: Sequence[Path], out: Path) -> list[Run]:
    """Return the records of runs that can be averaged."""
    if len(folders) < 2:  # noqa: PLR2004  # a mean
        raise DataError("a mean is of two runs or more: edge-fm average RUN RUN -o OUT")
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise DataError(f"{out} is one of the runs: give another folder with -o")
    told = [Run.load(folder) for folder in folders]
    for folder, run in zip(folders, told, strict=True):
        if run.architecture not in edge.WIDTHS:
            raise DataError(
                f"{folder} is a run of {run.architecture}; {', '.join(edge.WIDTHS)} can be averaged"
            )
        if _kind(run) != _kind(told[-1]):
            raise DataError(
                f"{folder} and {folders[-1]} differ in network, classes, data or seed: average trainings that went on from one another"
            )
    lacking = [name for name in _KEPT if not (folders[-1] / name).is_file()]
    if lacking:
        raise DataError(f"{folders[-1]} lacks {', '.join(lacking)}, which its training left: train it anew")
    return told


def _scores(mean: Any, run: Run) -> dict[str, dict[str, float]]:  # noqa: ANN401  # Keras ships no types
    """Return how often the mean is right, on the validation and the test part of the run's data."""
    dataset = datasets.load(run.data, InputSpec(*run.input_shape))
    _, validation = dataset.split_validation(recipe_settings.VALIDATION_SHARE, run.settings["seed"])
    eye = np.eye(len(run.class_names), dtype=bool)
    return {
        name: {"accuracy": _right(mean, part.images, eye[part.labels])}
        for name, part in (("validation", validation), ("test", dataset.test))
    }


def _right(model: Any, images: NDArray[np.uint8], allowed: NDArray[np.bool_]) -> float:  # noqa: ANN401
    return recipe_loop.accuracy(recipe_loop.probabilities(model, images), allowed)


def _kind(run: Run) -> tuple[object, ...]:
    return run.architecture, run.class_names, run.input_shape, run.data, run.settings.get("seed")


def _watched(folders: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return what every one of the trainings watched, (N, H, W, C) uint8 and (N, classes) bool, if it is the same."""
    seen = []
    for folder in folders:
        try:
            with np.load(folder / runs.VALIDATION, allow_pickle=False) as kept:
                seen.append((kept["images"], kept["allowed"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{folder / runs.VALIDATION} cannot be read ({error}): train it anew") from error
    images, allowed = seen[0]
    for folder, (others, right) in zip(folders[1:], seen[1:], strict=True):
        if not (np.array_equal(images, others) and np.array_equal(allowed, right)):
            raise DataError(
                f"{folders[0]} and {folder} were watched on different pictures, so that one may have learnt what the other is measured on: "
                "average trainings with the same --data, --hold-out and --seed"
            )
    return images, allowed


def _model(folder: Path, run: Run) -> Any:  # noqa: ANN401  # Keras ships no types
    try:
        return import_keras().saving.load_model(folder / run.model, compile=False)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"the weights of {folder} cannot be read ({error}): train it anew") from error
