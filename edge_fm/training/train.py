"""Train a zoo model into a run folder: split -> (folds) -> fit -> measure once -> record."""

import datetime as dt
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import Dataset, Split
from edge_fm.drawing import curves
from edge_fm.evaluation import checks
from edge_fm.models import runs
from edge_fm.models.architecture import Architecture, Framework
from edge_fm.models.runs import Run
from edge_fm.models.settings import Options, TrainSettings
from edge_fm.training import keras_fit, schedule, sklearn_fit
from edge_fm.training.results import Figures, FitInputs, Fitted, Listener, NamedSplit
from edge_fm.training.schedule import Schedule
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A zoo model, its data and its settings.

    Attributes:
        architecture: model of the zoo.
        dataset: images; nothing is chosen on the test part.
        data_name: the data set's name as the user gave it.
        settings: how long and how.
        options: options in place of the architecture's own.
        test: folder that is the test part of `dataset`, as the user gave it; None if it has its own.
        init_from: run folder of the same architecture whose weights are the start; None starts from random
            ones.
        augment: limits within which a Keras network's pictures are varied; None shows them as they are.
    """

    architecture: Architecture
    dataset: Dataset
    data_name: str
    settings: TrainSettings
    options: Options = field(default_factory=dict)
    test: Path | None = None
    init_from: Path | None = None
    augment: Variation | None = None


_MIN_UPDATES = 16 * schedule.MIN_STEPS
"""Updates of a classifier that is fitted picture by picture."""


def fit_settings(request: TrainRequest, chosen: frozenset[str]) -> TrainRequest:
    """Return a request whose schedule and validation part suit the number of its pictures.

    A network has at least `schedule.MIN_STEPS` steps. Where the default schedule has fewer, or where too few
    pictures would be held out, all steps are run and the last weights are kept. A large data set is trained
    as by default.

    Args:
        request: what to train.
        chosen: fields of the settings that the user gave; they hold.
    """
    settings, labels = request.settings, request.dataset.train.labels
    if request.architecture.framework is Framework.SKLEARN:
        return _with_passes(request)
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    if (
        settings.patience
        and chosen.isdisjoint({"validation_share", "patience"})
        and round(rarest * settings.validation_share) < schedule.MIN_VALIDATION
    ):
        settings = replace(settings, validation_share=0.0, patience=None)
    if "epochs" not in chosen:
        pictures = max(1, round(len(labels) * (1 - settings.validation_share)))
        usual = Schedule(settings.epochs, settings.batch_size)
        found = schedule.fit(pictures, usual, keep_batch="batch_size" in chosen)
        patience = None if found.is_short and "patience" not in chosen else settings.patience
        settings = replace(settings, epochs=found.epochs, batch_size=found.batch_size, patience=patience)
    return replace(request, settings=settings)


def _with_passes(request: TrainRequest) -> TrainRequest:
    """Return a request whose classifier, fitted picture by picture, sees enough of them."""
    usual, pictures = request.architecture.options, len(request.dataset.train)
    if "max_iter" in request.options or not {"alpha", "max_iter"} <= usual.keys():
        return request
    passes = -(-_MIN_UPDATES // pictures)
    if passes <= usual["max_iter"]:
        return request
    return replace(request, options=request.options | {"max_iter": passes})


def train(request: TrainRequest, folder: Path, listener: Listener, *, fresh: bool = False) -> Run:
    """Train, measure the kept weights once on the test part, and write the run folder.

    Ctrl-C ends the training and keeps the best epoch so far.

    Args:
        request: what to train.
        folder: run folder; it is made if it does not exist.
        listener: called with progress.
        fresh: whether a folder that holds files is moved aside; see `runs.set_aside`.

    Raises:
        OutputError: the folder holds files, or cannot be written.
        DataError: it was interrupted before one epoch was done, or the images do not suffice.
    """
    architecture, dataset, settings = request.architecture, request.dataset, request.settings
    _check(request, folder)
    runs.begin(folder, fresh=fresh)
    started_s = time.monotonic()
    scores: dict[str, Figures] = {}
    measured: dict[str, MeasuredAccuracy] = {}
    out_of_fold = None
    if settings.folds:
        scores["folds"], out_of_fold = _cross_validate(request)
        measured["folds"] = MeasuredAccuracy.of(*out_of_fold)
    training, validation = _split(dataset, settings)
    fitted = _fit(request, _inputs(request, training, validation, folder, listener))
    if validation is not None:
        scores["validation"] = fitted.score(validation.split)
    scores["test"] = fitted.score(dataset.test)
    predicted = fitted.predict(dataset.test)
    measured["test"] = MeasuredAccuracy.of(predicted, dataset.test.labels)
    run = Run(
        architecture=architecture.name,
        data=request.data_name,
        class_names=dataset.class_names,
        scale="unit",
        model=architecture.framework.file,
        options=architecture.options | request.options,
        settings=asdict(settings) | {"augment": asdict(request.augment) if request.augment else None},
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        scores=scores,
        seconds=round(time.monotonic() - started_s, 1),
        interrupted=fitted.interrupted,
        licence=dataset.licence,
        tools=architecture.framework.tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
        test=str(request.test) if request.test else None,
        measured=measured,
        findings=checks.check_run(dataset, predicted, out_of_fold),
    )
    runs.write_history(folder / runs.HISTORY, fitted.history)
    curves.save(curves.curves(fitted.history, fitted.best_epoch), folder / runs.CURVES)
    run.save(folder)
    return run


def _check(request: TrainRequest, folder: Path) -> None:
    """Refuse what cannot be trained before anything of an earlier run in the folder is touched."""
    settings, is_keras = request.settings, request.architecture.framework is Framework.KERAS
    if is_keras and settings.patience and not settings.validation_share:
        raise DataError(
            "early stopping needs validation images, and validation is 0: give a fraction, or --set patience=0"
        )
    if settings.folds:
        request.dataset.require_folds(settings.folds)
    if request.init_from is not None:
        _check_initial_run(request, request.init_from, folder)


def _check_initial_run(request: TrainRequest, start: Path, folder: Path) -> None:
    if start.resolve() == folder.resolve():
        raise DataError(
            f"{start} cannot be both the initial weights and the output: give another folder with -o"
        )
    run, own = Run.load(start), (request.architecture.name, request.dataset.class_names)
    if (run.architecture, run.class_names) != own:
        raise DataError(
            f"cannot initialise from {start}: it is a run of {run.architecture} with the classes "
            f"{', '.join(run.class_names)}. Give a run of {own[0]} with the classes of the data"
        )


def _split(dataset: Dataset, settings: TrainSettings) -> tuple[Split, NamedSplit | None]:
    """Return the training images, and those that are held out for validation, if any."""
    if not settings.validation_share:
        return dataset.train, None
    training, held_out = dataset.split_validation(settings.validation_share, settings.seed)
    return training, NamedSplit("validation", held_out)


def _inputs(
    request: TrainRequest, training: Split, validation: NamedSplit | None, folder: Path, listener: Listener
) -> FitInputs:
    return FitInputs(
        training=training,
        validation=validation,
        settings=request.settings,
        listener=listener,
        folder=folder,
        metrics=request.architecture.metrics,
        init_from=request.init_from,
        augment=request.augment,
    )


def _fit(request: TrainRequest, inputs: FitInputs) -> Fitted:
    architecture, dataset = request.architecture, request.dataset
    options = architecture.options | request.options
    if architecture.framework is Framework.KERAS:
        import_keras().utils.set_random_seed(request.settings.seed)
        network = architecture.build(dataset.spec.shape, len(dataset.class_names), options)
        return keras_fit.fit(network, inputs)
    estimator = architecture.build(dataset.spec.shape, len(dataset.class_names), options)
    validation = inputs.validation or NamedSplit("test", dataset.test)
    fitted = sklearn_fit.fit(estimator, replace(inputs, validation=validation))
    sklearn_fit.save(estimator, inputs.folder / architecture.framework.file)
    return fitted


def _cross_validate(request: TrainRequest) -> tuple[Figures, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return figures of stratified folds of the training part, and all predicted and true classes.

    The figures are the mean accuracy, and the accuracy of each fold.
    """
    dataset, settings = request.dataset, request.settings
    accuracies, predicted, labels = [], [], []
    for rest, part in dataset.folds(settings.folds, settings.seed):
        fold = Dataset(dataset.name, dataset.class_names, rest, part, dataset.licence)
        training, validation = _split(fold, settings)
        with tempfile.TemporaryDirectory() as scratch:
            inputs = _inputs(request, training, validation, Path(scratch), _silent)
            fitted = _fit(replace(request, dataset=fold), inputs)
        predicted.append(fitted.predict(part))
        labels.append(part.labels)
        accuracies.append(float(np.mean(predicted[-1] == part.labels)))
    each = {f"accuracy_{number}": value for number, value in enumerate(accuracies, 1)}
    figures = {"accuracy": float(np.mean(accuracies)), **each}
    return figures, (np.concatenate(predicted), np.concatenate(labels))


def _silent(_epoch: int, _share: float, _figures: Figures | None) -> None:
    """Listen to nothing."""
