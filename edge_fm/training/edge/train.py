"""Train a member of the edge family on several data sets, with simulated cameras.

Every epoch draws its images anew from (seed, epoch), so an interrupted training resumes from its last whole
epoch as if nothing had happened. There is no early stopping: the learning rate runs out. Validation figures
are recorded and choose nothing; the test part is measured once, at the end.

The weights that are kept are an exponential moving average. The last epochs run without erasing and elastic
distortion, so that a small network spends itself on whole images (Ge et al., 2021, arXiv:2107.08430, ends its
strongest augmentation early in the same way).

Cosine schedule: Loshchilov and Hutter, 2016, arXiv:1608.03983. Label smoothing: Szegedy et al., 2015,
arXiv:1512.00567. Uniform targets for images of no class: Hendrycks et al., 2018, arXiv:1812.04606.
"""

import datetime as dt
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import DIGITS, Dataset, Split
from edge_fm.datasets.photographs import Photographs
from edge_fm.evaluation import checks
from edge_fm.models import edge, runs
from edge_fm.models.runs import Run
from edge_fm.training.edge import checkpoint, epoch_data, export_sets, loop
from edge_fm.training.edge.distillation import Teacher
from edge_fm.training.edge.epoch_data import PAPER, ROOM, TrainingImages
from edge_fm.training.edge.folds import Folds, photographs_without, product_images_without
from edge_fm.training.edge.loop import Listener, probabilities
from edge_fm.training.edge.settings import DEFAULTS, EdgeSettings
from edge_fm.training.edge.warm_start import warm_start
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

_WARM_START_IMAGES = 1000
"""Images of each kind on which a warm start measures the batch statistics that an export folded away."""

KerasModel = Any
"""A `keras.Model`; Keras ships no types."""


@dataclass(frozen=True, kw_only=True)
class TrainingSources:
    """Data, photographs and teachers of a training of the edge family.

    Attributes:
        architecture: name in `edge.WIDTHS`.
        data: data set in the model's own classes.
        data_name: the data set's name as the user gave it.
        photographs: (training, validation) photographs with partial labels, if any.
        teacher: model to distil from, if any.
        init_from: run folder, exported file or bundled model whose weights are the start; None starts from
            random ones.
        soft_labels: file that the photographs' soft labels were read from, if any.
        left_out: (fold, folds) that is left out of the training; None trains on all.
        test: folder that is the test part of `data`, as the user gave it; None if it has its own.
    """

    architecture: str
    data: Dataset
    data_name: str
    photographs: tuple[Photographs, Photographs] | None = None
    teacher: Teacher | None = None
    init_from: Path | None = None
    soft_labels: Path | None = None
    left_out: tuple[int, Folds] | None = None
    test: Path | None = None


def is_resumable(names: frozenset[str]) -> bool:
    """Return whether files of these names are of an interrupted training, which `train_run` resumes."""
    return runs.RECORD not in names and any(name.startswith(Path(checkpoint.FILE).stem) for name in names)


def train_run(
    sources: TrainingSources, settings: EdgeSettings, folder: Path, listener: Listener, *, fresh: bool = False
) -> Run:
    """Train a member of the edge family into a run folder, and resume an interrupted training there.

    Args:
        sources: what it is trained on.
        settings: how it is trained.
        folder: run folder; it is made if it does not exist.
        listener: called with progress.
        fresh: whether a folder that holds files is moved aside, even if it could be resumed.

    Raises:
        OutputError: the folder holds a finished run or other files, or cannot be written.
        DataError: the folder holds the state of another training, the data is not of digits for a network
            that reads digits, or `init_from` is this folder, no run, or of another network.
        ModelError: `init_from` is a file that is missing or refused.
    """
    _check_classes(sources)
    started_s = time.monotonic()
    import_keras().utils.set_random_seed(settings.seed)
    training, validation = sources.data.split_validation(settings.validation_share, settings.seed)
    folds = None
    if sources.teacher is not None and sources.teacher.plan is not None:
        photographs = sources.photographs[0] if sources.photographs else None
        folds = sources.teacher.plan.folds(training, photographs, settings.seed)
    if sources.left_out is not None:
        training = product_images_without(*sources.left_out, training)
        sources = _without(*sources.left_out, sources)
    model, ema_model = _networks(sources, training, folder, settings)
    # After all that can be refused: a former run is moved aside.
    runs.begin(folder, fresh=fresh, resumable=is_resumable)
    images = replace(_training_images(sources, training, validation, settings), folds=folds)
    job = loop.TrainingJob(model=model, ema_model=ema_model, images=images, teacher=sources.teacher)
    history = loop.train(job, settings, folder, listener)
    export_sets.keep_all(folder, images, settings)
    ema_model.save(folder / runs.MODEL)
    run = _record(sources, settings, history, ema_model, time.monotonic() - started_s)
    run.save(folder)
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    return run


def train_candidate(
    training: Split, validation: Split, classes: int, settings: EdgeSettings, architecture: str = "edge"
) -> NDArray[np.float32]:
    """Train on given pictures, as for one fold of a cross-validation, and keep nothing.

    Args:
        training: square pictures, grey or RGB; `settings.fitted` suits the schedule to their number.
        validation: pictures of the same shape that are not trained on.
        classes: number of classes.
        settings: how it is trained; `settings.mix.variation.flip` says whether pictures are mirrored.
        architecture: name in `edge.WIDTHS`.

    Returns:
        (N, classes) probabilities of the validation pictures.
    """
    import_keras().utils.set_random_seed(settings.seed)
    spec = InputSpec(*training.images.shape[1:])
    model, ema_model = (edge.build(edge.WIDTHS[architecture], spec, classes, architecture) for _ in range(2))
    job = loop.TrainingJob(
        model=model, ema_model=ema_model, images=TrainingImages(training, None, {}, classes)
    )
    with tempfile.TemporaryDirectory() as scratch:
        loop.train(job, settings, Path(scratch), lambda _epoch, _share, _figures: None)
    return probabilities(ema_model, validation.images)


def _check_classes(sources: TrainingSources) -> None:
    if sources.architecture in DEFAULTS and sources.data.class_names != DIGITS:
        raise DataError(
            f"{sources.architecture} reads the digits 0 to 9, and {sources.data_name} has "
            f"{', '.join(sources.data.class_names)}: train it on mnist, or give --model edge"
        )


def _without(fold: int, folds: Folds, sources: TrainingSources) -> TrainingSources:
    if sources.photographs is None:
        return sources
    training, validation = sources.photographs
    return replace(sources, photographs=(photographs_without(fold, folds, training), validation))


def _networks(
    sources: TrainingSources, training: Split, folder: Path, settings: EdgeSettings
) -> tuple[KerasModel, KerasModel]:
    """Return the network to train, with its first weights, and one for their moving average."""
    dataset, name = sources.data, sources.architecture
    classes = len(dataset.class_names)
    with edge.mixed_precision() if settings.bf16 else nullcontext():
        model = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    ema_model = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    if sources.init_from is not None:
        seen = [training.sample(_WARM_START_IMAGES, settings.seed).images]
        if sources.photographs is not None:
            tensors = sources.photographs[0].tensors
            seen.append(tensors[:: max(1, len(tensors) // _WARM_START_IMAGES)])
        warm_start(model, sources.init_from, folder, dataset.class_names, np.concatenate(seen))
    return model, ema_model


def _training_images(
    sources: TrainingSources, training: Split, validation: Split, settings: EdgeSettings
) -> TrainingImages:
    """Return the images to train on, and those to validate on, plain and as a camera sees them."""
    photographs, classes = sources.photographs, len(sources.data.class_names)
    validated = {sources.data.name: (validation.images, np.eye(classes, dtype=bool)[validation.labels])}
    if photographs is not None and photographs[1].allowed.any():
        validated["photographs"] = (photographs[1].tensors, photographs[1].allowed)
    scenery = PAPER if sources.architecture in DEFAULTS else ROOM
    if scenery.drawn is not None:
        variation = settings.mix.variation
        validated["paper"] = epoch_data.camera_views(validation, classes, scenery, variation, settings.seed)
    return TrainingImages(training, photographs[0] if photographs else None, validated, classes, scenery)


def facts(settings: EdgeSettings, sources: TrainingSources) -> dict[str, Any]:
    """Return what a run's record says of how it was trained."""
    return asdict(settings) | {
        "teacher": sources.teacher.name if sources.teacher else None,
        "init_from": str(sources.init_from) if sources.init_from else None,
        "soft_labels": str(sources.soft_labels) if sources.soft_labels else None,
        "left_out": _which(*sources.left_out) if sources.left_out else None,
    }


def _which(fold: int, folds: Folds) -> str:
    return f"fold {fold} of {folds.count}, {folds.sha256[:16]}"


def _record(
    sources: TrainingSources,
    settings: EdgeSettings,
    history: list[dict[str, float]],
    ema_model: KerasModel,
    seconds: float,
) -> Run:
    """Return the run's record; the test part is measured here, once, after everything is decided."""
    dataset = sources.data
    test = probabilities(ema_model, dataset.test.images)
    measured = MeasuredAccuracy.of(test.argmax(axis=1), dataset.test.labels)
    return Run(
        architecture=sources.architecture,
        data=sources.data_name,
        class_names=dataset.class_names,
        scale="unit",
        model=runs.MODEL,
        options={},
        settings=facts(settings, sources),
        epochs=len(history),
        best_epoch=len(history),
        scores={
            "validation": {"accuracy": history[-1][dataset.name]},
            "test": {"accuracy": measured.value},
        },
        seconds=round(seconds, 1),
        interrupted=False,
        licence=dataset.licence,
        tools=runs.keras_tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
        test=str(sources.test) if sources.test else None,
        measured={"test": measured},
        findings=checks.check_run(dataset, test.argmax(axis=1), measure_more=checks.MEASURE_MORE_EDGE),
    )
