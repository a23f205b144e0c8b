"""Train a model of the zoo on a data set, into a run folder: split -> (folds) -> fit -> measure once -> record."""

import datetime as dt
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edge_fm.datasets import Dataset, Split
from edge_fm.drawing import curves
from edge_fm.models import runs
from edge_fm.models.architecture import Architecture, Framework
from edge_fm.models.runs import Run
from edge_fm.models.settings import Options, TrainSettings
from edge_fm.training import keras_fit, sklearn_fit
from edge_fm.training.results import Figures, Fitted, Listener, Watched
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError


def train(
    architecture: Architecture,
    dataset: Dataset,
    data: str,
    folder: Path,
    settings: TrainSettings,
    listener: Listener,
    options: Options | None = None,
) -> Run:
    """Train, measure the kept weights once on the test part, and write the run folder.

    Ctrl-C ends the training and keeps the best epoch so far.

    Args:
        architecture: what to build.
        dataset: what to train on; nothing is chosen on its test part.
        data: how the user named the data set.
        folder: made if it is not there.
        settings: how long and how.
        listener: told of progress.
        options: in place of the architecture's own.

    Raises:
        OutputError: the folder cannot be written.
        DataError: it was interrupted before one epoch was done, or the pictures do not suffice.
    """
    _check(architecture, dataset, settings)
    runs.begin(folder)
    chosen = architecture.options | (options or {})
    started_s = time.monotonic()
    scores: dict[str, Figures] = {}
    if settings.folds:
        scores["folds"] = _cross_validate(architecture, dataset, settings, chosen)
    training, validation = dataset.train, None
    if settings.validation_share:
        training, held_out = dataset.split_validation(settings.validation_share, settings.seed)
        validation = Watched("validation", held_out)
    fitted = _fit(architecture, dataset, training, validation, settings, chosen, folder, listener)
    if validation is not None:
        scores["validation"] = fitted.score(validation.split)
    scores["test"] = fitted.score(dataset.test)
    run = Run(
        architecture=architecture.name,
        data=data,
        class_names=dataset.class_names,
        scale="unit",
        model=architecture.framework.file,
        options=dict(chosen),
        settings=asdict(settings),
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        scores=scores,
        seconds=round(time.monotonic() - started_s, 1),
        interrupted=fitted.interrupted,
        licence=dataset.licence,
        tools=architecture.framework.tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
    )
    runs.write_history(folder / runs.HISTORY, fitted.history)
    curves.save(curves.curves(fitted.history, fitted.best_epoch), folder / runs.CURVES)
    run.save(folder)
    return run


def _check(architecture: Architecture, dataset: Dataset, settings: TrainSettings) -> None:
    """Refuse what cannot be trained before anything of an earlier run in the folder is touched."""
    if architecture.framework is Framework.KERAS and settings.patience and not settings.validation_share:
        raise DataError(
            "patience watches validation pictures, and there are none: give --validation a share, or --patience 0"
        )
    if settings.folds:
        dataset.require_folds(settings.folds)


def _fit(
    architecture: Architecture,
    dataset: Dataset,
    training: Split,
    validation: Watched | None,
    settings: TrainSettings,
    options: Options,
    folder: Path,
    listener: Listener,
) -> Fitted:
    if architecture.framework is Framework.KERAS:
        import_keras().utils.set_random_seed(settings.seed)
        network = architecture.build(dataset.spec.shape, len(dataset.class_names), options)
        return keras_fit.fit(network, training, validation, settings, listener, folder, architecture.metrics)
    estimator = architecture.build(dataset.spec.shape, len(dataset.class_names), options)
    fitted = sklearn_fit.fit(
        estimator, training, validation or Watched("test", dataset.test), settings, listener
    )
    sklearn_fit.save(estimator, folder / architecture.framework.file)
    return fitted


def _cross_validate(
    architecture: Architecture, dataset: Dataset, settings: TrainSettings, options: Options
) -> Figures:
    """Return the mean accuracy over stratified folds of the training part, and that of each."""
    accuracies = []
    for rest, part in dataset.folds(settings.folds, settings.seed):
        fold = Dataset(dataset.name, dataset.class_names, rest, part, dataset.licence)
        training, validation = rest, None
        if settings.validation_share:
            training, held_out = fold.split_validation(settings.validation_share, settings.seed)
            validation = Watched("validation", held_out)
        with tempfile.TemporaryDirectory() as scratch:
            fitted = _fit(architecture, fold, training, validation, settings, options, Path(scratch), _silent)
            accuracies.append(fitted.score(part)["accuracy"])
    each = {f"accuracy_{number}": value for number, value in enumerate(accuracies, 1)}
    return {"accuracy": float(np.mean(accuracies)), **each}


def _silent(_epoch: int, _share: float, _figures: Figures | None) -> None:
    """Listen to nothing."""
