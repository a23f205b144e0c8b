"""Networks that have each not seen one fold of a training, to teach others what they hold pictures to be that are new to them.

A network large enough to teach has learnt its own training pictures by heart: of those it repeats the labels, and hands nothing on. Trained
once for each fold, without it, networks answer for the whole training as one does for what it has never seen, doubts included.

Dao et al., "Knowledge Distillation as Semiparametric Inference", 2021, arXiv:2104.09732. They are trained without label smoothing, which takes
from a teacher's answers what they say of the wrong classes: Mueller et al., "When does label smoothing help?", 2019, arXiv:1906.02629.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_fm.datasets import Split
from edge_fm.datasets.photographs import Photographs
from edge_fm.models import runs
from edge_fm.training.edge import train
from edge_fm.training.edge.folds import FoldPlan, Folds, runs_of
from edge_fm.training.edge.loop import Listener, accuracy, probabilities
from edge_fm.training.edge.settings import VALIDATION_SHARE, EdgeSettings
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError


@dataclass(frozen=True)
class OutOfFoldScores:
    """How much of what a network has not seen it gets right, in [0, 1].

    Attributes:
        catalogue: of the data set's pictures of its fold.
        photographs: of its fold's photographs of the model's classes; None without any.
    """

    catalogue: float
    photographs: float | None


def train_folds(
    name: str,
    sources: train.TrainingSources,
    data: str,
    folder: Path,
    settings: EdgeSettings,
    count: int,
    whose: Mapping[str, str],
    listening: Callable[[int], Listener],
) -> list[OutOfFoldScores]:
    """Train a member of the `edge` family once for each fold, without it, into a folder that `--teacher` takes.

    Networks that are finished are kept, and one that was killed is gone on with, when the same is asked for again.

    Args:
        name: of `edge.WIDTHS`.
        sources: of pictures.
        data: how the user named the data set.
        folder: made if it is not there; each network's run folder is in it.
        settings: of each training; labels are not smoothed.
        count: of folds, two or more.
        whose: the person of each photograph, as `folds.read_people` returns it.
        listening: returns who is told of the progress of a fold.

    Returns:
        what each network gets right of its fold.

    Raises:
        OutputError: the folder cannot be written.
        DataError: as `recipe.train_run`, or there are fewer pictures than folds, or nobody is named for any of the photographs.
    """
    settings = replace(settings, smoothing=0.0)
    training, _ = sources.data.split_validation(VALIDATION_SHARE, settings.seed)
    photographs = sources.photographs[0] if sources.photographs else None
    if len(training) < count:
        raise DataError(f"--folds {count}: there are {len(training)} pictures to train on; give fewer")
    if whose and photographs is not None and not whose.keys() & set(photographs.names):
        raise DataError(
            f"nobody is named for any of the photographs to train on: paths are relative to their folder, such as {photographs.names[0]}"
        )
    divided = divide(count, settings, training, photographs, whose)
    folds = divided.folds(training, photographs, settings.seed)
    found = []
    for fold, target in enumerate(runs_of(folder, count)):
        part = replace(sources, left_out=(fold, folds))
        if not _finished(target, data, train.facts(settings, part)):
            train.train_run(name, part, data, target, settings, listening(fold))
        network = import_keras().saving.load_model(target / runs.MODEL, compile=False)
        mine = folds.catalogue == fold
        right = np.eye(len(sources.data.class_names), dtype=bool)[training.labels[mine]]
        of_catalogue = accuracy(probabilities(network, training.images[mine]), right)
        found.append(OutOfFoldScores(of_catalogue, _of_photographs(network, fold, folds, sources)))
    divided.save(folder)
    return found


def divide(
    count: int,
    settings: EdgeSettings,
    training: Split,
    photographs: Photographs | None,
    whose: Mapping[str, str],
) -> FoldPlan:
    """Divide a training into folds of about the same size; all photographs of a person are of one.

    Args:
        count: of folds, two or more.
        settings: of the training.
        training: the data set's training part, without its validation part.
        photographs: to train on, if there are any.
        whose: the person of each photograph by its path, as `read_people` returns it; of one without, nobody else's.
    """
    names: Sequence[str] = photographs.names if photographs is not None else ()
    size = Counter(whose.get(name, name) for name in names)
    filled, fold_of = [0] * count, {}
    for person in sorted(size, key=lambda person: (-size[person], person)):
        fold_of[person] = int(np.argmin(filled))
        filled[fold_of[person]] += size[person]
    of = {name: fold_of[whose.get(name, name)] for name in names}
    return FoldPlan(count, settings.seed, len(training), settings.mix.variation.flip, of)


def _of_photographs(
    network: train.KerasModel, fold: int, folds: Folds, sources: train.TrainingSources
) -> float | None:
    if sources.photographs is None or folds.photographs is None:
        return None
    mine = sources.photographs[0].chosen(np.flatnonzero(folds.photographs == fold))
    return accuracy(probabilities(network, mine.tensors), mine.allowed) if mine.allowed.any() else None


def _finished(folder: Path, data: str, facts: Mapping[str, object]) -> bool:
    if not (folder / runs.RECORD).is_file():
        return False
    run = runs.Run.load(folder)
    return (run.data, run.settings) == (data, json.loads(json.dumps(facts)))
