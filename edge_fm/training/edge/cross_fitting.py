"""Train networks out of fold, each without one fold, to teach on images that they have not seen.

A teacher large enough to be useful has learnt its training images by heart: for those it repeats the labels
and hands nothing on. Networks trained once without each fold answer for the whole training as one does for
new images.

Dao et al., "Knowledge Distillation as Semiparametric Inference", 2021, arXiv:2104.09732. The networks are
trained without label smoothing, which removes what a teacher says about wrong classes: Mueller et al., "When
does label smoothing help?", 2019, arXiv:1906.02629.
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
from edge_fm.training.edge.settings import EdgeSettings
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError


@dataclass(frozen=True)
class OutOfFoldScores:
    """Accuracy of a network on the fold that it was not trained on.

    Attributes:
        measured: accuracy on the data set's own images of the fold.
        photographs: accuracy on the fold's photographs of known classes, in [0, 1]; None without any.
    """

    measured: MeasuredAccuracy
    photographs: float | None

    @property
    def product_images(self) -> float:
        """Accuracy on the data set's own images of the fold."""
        return self.measured.value


@dataclass(frozen=True, kw_only=True)
class FoldSettings:
    """Number of folds and groups of a division.

    Attributes:
        count: number of folds, 2 or more.
        groups: group of each photograph, as `folds.read_groups` returns it; a group is never divided.
    """

    count: int
    groups: Mapping[str, str]


def train_folds(
    sources: train.TrainingSources,
    settings: EdgeSettings,
    folder: Path,
    division: FoldSettings,
    listener_of: Callable[[int], Listener],
) -> list[OutOfFoldScores]:
    """Train a network without each fold, into a folder that can be a teacher.

    The same call resumes: finished networks are kept, and an interrupted one goes on from its last epoch.

    Args:
        sources: what they are trained on.
        settings: how each is trained; labels are not smoothed.
        folder: holds a run folder for each network; it is made if it does not exist.
        division: number of folds, and groups.
        listener_of: returns the listener of a fold, by its index from 0.

    Raises:
        OutputError: the folder cannot be written.
        DataError: as `train.train_run`, or there are fewer images than folds, or no group is of any
            photograph.
    """
    settings = replace(settings, label_smoothing=0.0)
    training, _ = sources.data.split_validation(settings.validation_share, settings.seed)
    photographs = sources.photographs[0] if sources.photographs else None
    _check_division(division, training, photographs)
    plan = divide(division, settings, training, photographs)
    folds = plan.folds(training, photographs, settings.seed)
    scores = []
    for fold, target in enumerate(runs_of(folder, division.count)):
        part = replace(sources, left_out=(fold, folds))
        if not _finished(target, sources.data_name, train.facts(settings, part)):
            train.train_run(part, settings, target, listener_of(fold))
        network = import_keras().saving.load_model(target / runs.MODEL, compile=False)
        scores.append(_score(network, fold, folds, sources, training))
    plan.save(folder)
    return scores


def _check_division(division: FoldSettings, training: Split, photographs: Photographs | None) -> None:
    if len(training) < division.count:
        raise DataError(
            f"{division.count} folds of {len(training)} images leave a fold empty: write a smaller count in [folds]"
        )
    if division.groups and photographs is not None and not division.groups.keys() & set(photographs.names):
        raise DataError(
            "no group is named for any photograph of the training: paths in the CSV are relative to the photographs' "
            f"folder, such as {photographs.names[0]}"
        )


def divide(
    division: FoldSettings, settings: EdgeSettings, training: Split, photographs: Photographs | None
) -> FoldPlan:
    """Divide a training into folds of about the same size; a group of photographs stays together.

    Args:
        division: number of folds, and groups; a photograph without a group is its own.
        settings: how the networks are trained.
        training: the data set's training part, without its validation part.
        photographs: photographs of the training, if any.
    """
    count, groups = division.count, division.groups
    names: Sequence[str] = photographs.names if photographs is not None else ()
    size = Counter(groups.get(name, name) for name in names)
    filled, fold_of = [0] * count, {}
    for group in sorted(size, key=lambda group: (-size[group], group)):
        fold_of[group] = int(np.argmin(filled))
        filled[fold_of[group]] += size[group]
    of = {name: fold_of[groups.get(name, name)] for name in names}
    return FoldPlan(count, settings.seed, len(training), settings.mix.variation.flip, of)


def _score(
    network: train.KerasModel, fold: int, folds: Folds, sources: train.TrainingSources, training: Split
) -> OutOfFoldScores:
    mine = folds.product_images == fold
    predicted = probabilities(network, training.images[mine]).argmax(axis=1)
    measured = MeasuredAccuracy.of(predicted, training.labels[mine])
    if sources.photographs is None or folds.photographs is None:
        return OutOfFoldScores(measured, None)
    part = sources.photographs[0].take(np.flatnonzero(folds.photographs == fold))
    known = part.allowed.any()
    return OutOfFoldScores(
        measured, accuracy(probabilities(network, part.tensors), part.allowed) if known else None
    )


def _finished(folder: Path, data: str, facts: Mapping[str, object]) -> bool:
    if not (folder / runs.RECORD).is_file():
        return False
    run = runs.Run.load(folder)
    return (run.data, run.settings) == (data, json.loads(json.dumps(facts)))
