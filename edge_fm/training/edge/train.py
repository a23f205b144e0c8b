"""The training behind the bundled models: several data sets at once, cameras imitated, one cosine to the end.

Every epoch draws its pictures anew from (seed, epoch), so a training that was killed goes on from its last
whole epoch as if nothing had happened. There is no early stopping: the learning rate runs out. Validation is watched,
never chosen on, and the test part is not touched.

The weights that are kept are a running average over the last steps: less shaken by the last batches. In the
last epochs nothing is erased from pictures or bent any more: a small network then spends itself on whole ones (Ge et al., 2021,
arXiv:2107.08430, ends its strongest augmentation early in the same way).

Cosine: Loshchilov and Hutter, 2016, arXiv:1608.03983; label smoothing: Szegedy et al., 2015, arXiv:1512.00567; training
to be unsure of what is no class: Hendrycks et al., 2018, arXiv:1812.04606.
"""

import datetime as dt
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm.datasets import DIGITS, Dataset, Split
from edge_fm.datasets.photographs import Photographs
from edge_fm.models import edge, runs
from edge_fm.models.runs import Run
from edge_fm.training.edge import checkpoint, epoch_data, export_sets, loop
from edge_fm.training.edge.distillation import Teacher
from edge_fm.training.edge.epoch_data import PAPER, ROOM, TrainingImages
from edge_fm.training.edge.folds import Folds, photographs_without, product_images_without
from edge_fm.training.edge.loop import Listener, accuracy, probabilities
from edge_fm.training.edge.settings import DEFAULTS, VALIDATION_SHARE, EdgeSettings
from edge_fm.training.edge.warm_start import warm_start
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError

_SEEN = 1000
"""Pictures of each kind that stand for what a file to begin with has folded away."""

KerasModel = Any
"""A `keras.Model`; Keras ships no types."""


@dataclass(frozen=True)
class TrainingSources:
    """Where the pictures come from, as the user named them.

    Attributes:
        data: the data set in the model's own classes, and its name as given.
        photographs: (training, validation), if there are any.
        teacher: a model to learn from as well, if there is one.
        start: the run folder, exported file or bundled model whose weights are begun with; None begins with drawn ones.
        answers: the file that the photographs' answers are from, if they have any.
        left_out: (fold, folds) that are not trained on; None trains on all.
    """

    data: Dataset
    photographs: tuple[Photographs, Photographs] | None
    teacher: Teacher | None = None
    start: Path | None = None
    answers: Path | None = None
    left_out: tuple[int, Folds] | None = None


def train_run(
    name: str, sources: TrainingSources, data: str, folder: Path, settings: EdgeSettings, listener: Listener
) -> Run:
    """Train a member of the `edge` family into a run folder; a folder with a training that was killed is gone on with.

    Args:
        name: of `edge.WIDTHS`.
        sources: of pictures.
        data: how the user named the data set.
        folder: made if it is not there.
        settings: how.
        listener: told of progress.

    Raises:
        OutputError: the folder cannot be written.
        DataError: the folder holds the state of another training, the data has other classes than the digits, or `start` is
            this folder, no run, or a run or file of another network.
        ModelError: `start` is a file that is missing or refused.
    """
    if name in DEFAULTS and sources.data.class_names != DIGITS:
        raise DataError(
            f"{name} reads the digits 0 to 9, and {data} has {', '.join(sources.data.class_names)}: "
            "give --data mnist, or train edge"
        )
    keras = import_keras()
    started_s = time.monotonic()
    keras.utils.set_random_seed(settings.seed)
    training, validation = sources.data.split_validation(VALIDATION_SHARE, settings.seed)
    folds = None
    if sources.teacher is not None and sources.teacher.plan is not None:
        photographs = sources.photographs[0] if sources.photographs else None
        folds = sources.teacher.plan.folds(training, photographs, settings.seed)
    if sources.left_out is not None:
        training = product_images_without(*sources.left_out, training)
        sources = _without(*sources.left_out, sources)
    model, average = _networks(name, sources, training, folder, settings)
    runs.begin(folder)  # after all that can be refused: an earlier run's record goes with it
    material = replace(_training_images(name, sources, training, validation, settings), folds=folds)
    history = loop.train(model, average, material, folder, settings, listener, sources.teacher)
    export_sets.keep_calibration(folder / runs.CALIBRATION, material, settings.mix, settings.seed)
    export_sets.keep_validation(folder / runs.VALIDATION, material, settings.seed)
    export_sets.keep_ood_calibration(
        folder / runs.OOD_CALIBRATION,
        material,
        settings.mix_of(settings.epochs),
        settings.seed,
        settings.epochs,
    )
    average.save(folder / runs.MODEL)
    run = _record(name, sources, data, settings, history, average, time.monotonic() - started_s)
    run.save(folder)
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    return run


def _without(fold: int, folds: Folds, sources: TrainingSources) -> TrainingSources:
    if sources.photographs is None:
        return sources
    training, validation = sources.photographs
    return replace(sources, photographs=(photographs_without(fold, folds, training), validation))


def _networks(
    name: str, sources: TrainingSources, training: Split, folder: Path, settings: EdgeSettings
) -> tuple[KerasModel, KerasModel]:
    """Return the network that is trained, with the weights to begin with, and one for their running average."""
    dataset, photographs = sources.data, sources.photographs
    classes = len(dataset.class_names)
    with edge.mixed_precision() if settings.bf16 else nullcontext():
        model = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    average = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    if sources.start is not None:
        seen = [training.sample(_SEEN, settings.seed).images]
        if photographs is not None:
            seen.append(photographs[0].tensors[:: max(1, len(photographs[0].tensors) // _SEEN)])
        warm_start(model, sources.start, folder, dataset.class_names, np.concatenate(seen))
    return model, average


def _training_images(
    name: str, sources: TrainingSources, training: Split, validation: Split, settings: EdgeSettings
) -> TrainingImages:
    """Return what is trained on, and what is watched: validation pictures, as they are and as a camera sees them."""
    photographs, classes = sources.photographs, len(sources.data.class_names)
    watched = {sources.data.name: (validation.images, np.eye(classes, dtype=bool)[validation.labels])}
    if photographs is not None and photographs[1].allowed.any():
        watched["photographs"] = (photographs[1].tensors, photographs[1].allowed)
    scenery = PAPER if name in DEFAULTS else ROOM
    if scenery.drawn is not None:
        watched["paper"] = epoch_data.camera_views(
            validation, classes, scenery, settings.mix.variation, settings.seed
        )
    return TrainingImages(training, photographs[0] if photographs else None, watched, classes, scenery)


def facts(settings: EdgeSettings, sources: TrainingSources) -> dict[str, Any]:
    """Return what a run's record says of how it was trained."""
    return asdict(settings) | {
        "validation_share": VALIDATION_SHARE,
        "teacher": sources.teacher.name if sources.teacher else None,
        "start": str(sources.start) if sources.start else None,
        "answers": str(sources.answers) if sources.answers else None,
        "left_out": _which(*sources.left_out) if sources.left_out else None,
    }


def _which(fold: int, folds: Folds) -> str:
    return f"fold {fold} of {folds.count}, {folds.sha256[:16]}"


def _record(
    name: str,
    sources: TrainingSources,
    data: str,
    settings: EdgeSettings,
    history: list[dict[str, float]],
    average: KerasModel,
    seconds: float,
) -> Run:
    """Return the run's record; the test part is looked at here, once, after everything is decided."""
    dataset = sources.data
    test = probabilities(average, dataset.test.images)
    right = np.eye(len(dataset.class_names), dtype=bool)[dataset.test.labels]
    return Run(
        architecture=name,
        data=data,
        class_names=dataset.class_names,
        scale="unit",
        model=runs.MODEL,
        options={},
        settings=facts(settings, sources),
        epochs=len(history),
        best_epoch=len(history),
        scores={
            "validation": {"accuracy": history[-1][dataset.name]},
            "test": {"accuracy": accuracy(test, right)},
        },
        seconds=round(seconds, 1),
        interrupted=False,
        licence=dataset.licence,
        tools=runs.keras_tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
    )
