"""Distil from larger models: their probabilities for the training images join the labels.

The softened cross-entropy is that of Hinton et al., 2015, arXiv:1503.02531; that teacher and student see the
same view of every picture is what Beyer et al., 2021, arXiv:2106.05237, found to matter most. Several
teachers answer with the mean of their probabilities, as the ensembles of the former do.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset, is_multiple, resized
from edge_fm.datasets.photographs import SoftLabels
from edge_fm.evaluation import predictors
from edge_fm.models import runs
from edge_fm.training.edge import folds
from edge_fm.training.edge.epoch_data import EpochImages
from edge_fm.training.edge.folds import FoldPlan
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.sources.archive_limits import MAX_SOURCE_BYTES
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.errors import DataError, ModelError
from edge_fm_runtime.untrusted.regular_file import read_bytes

TEMPERATURE = 2.0
"""Divides the logits of teacher and student, to show how the teacher ranks the wrong classes."""

_LEAST = 1e-7
_AT_ONCE = 5000

Loss = Callable[[Any, Any], Any]
Floats = NDArray[np.float32]
Probabilities = Callable[[NDArray[np.uint8]], Floats]


@dataclass(frozen=True)
class Teacher:
    """A trained model that is learnt from.

    Attributes:
        name: as the user gave it.
        sha256: of its file.
        probabilities: from (N, height, width, channels) uint8 to (N, classes) float32.
        by_fold: the same, of each fold's network, which has not seen that fold; empty where one answers for
            all.
        plan: how the pictures were divided into the folds.
    """

    name: str
    sha256: str
    probabilities: Probabilities
    by_fold: tuple[Probabilities, ...] = ()
    plan: FoldPlan | None = None

    def answers(self, drawn: EpochImages) -> Floats:
        """Return (N, classes) float32 probabilities for an epoch's images, out of fold."""
        if drawn.folds is None or not self.by_fold:
            return _in_batches(self.probabilities, drawn.images)
        answers = np.empty(drawn.allowed.shape, np.float32)
        for fold, network in enumerate(self.by_fold):
            mine = np.flatnonzero(drawn.folds == fold)
            if len(mine):
                answers[mine] = _in_batches(network, drawn.images[mine])
        return answers

    def targets(self, drawn: EpochImages) -> Floats:
        """Return the targets of `distillation_loss`: (N, 2 * classes) float32, labels and soft labels.

        Where another model has said what the folder of a photograph may be, half is that one's, each folder's
        part shared out among the classes that it may be as the teacher does, and half the teacher's own
        answer: the one saw the photograph, the other sees what is left of it in this view.
        """
        answers = self.answers(drawn)
        if drawn.answers is not None:
            answers = (answers + _shared_out(answers, drawn.answers)) / np.float32(2)
        softened = np.clip(answers, _LEAST, 1) ** np.float32(1 / TEMPERATURE)
        softened /= softened.sum(axis=1, keepdims=True)
        return np.concatenate([drawn.allowed, softened.astype(np.float32)], axis=1)


def _in_batches(probabilities: Probabilities, images: NDArray[np.uint8]) -> Floats:
    starts = range(0, len(images), _AT_ONCE)
    return np.concatenate([probabilities(images[start : start + _AT_ONCE]) for start in starts])


def _shared_out(answers: Floats, asked: SoftLabels) -> Floats:
    """Return (N, classes): each folder's probability, shared among its classes as in `answers`."""
    told = np.zeros_like(answers)
    for folder, classes in enumerate(asked.folder_classes):
        within = np.clip(answers, _LEAST, 1) * classes if classes.any() else np.ones_like(answers)
        told += asked.probabilities[:, folder, np.newaxis] * within / within.sum(axis=1, keepdims=True)
    return np.where(asked.probabilities.any(axis=1, keepdims=True), told, answers)


def open_teacher(model: str, data: str, dataset: Dataset) -> Teacher:
    """Open a teacher; images are resized to its input if that is a whole multiple or fraction.

    Args:
        model: as `predictors.open_predictor` takes it, or a folder of `cross_fitting.train_folds`.
        data: how the user named the data set.
        dataset: what is trained on.

    Raises:
        ModelError: the model cannot be used.
        DataError: it tells other classes apart, or takes other pictures.
    """
    if (Path(model) / folds.RECORD).is_file():
        return _open_folds(model, data, dataset)
    predictor, _ = predictors.open_predictor(model, data)
    own, theirs = dataset.spec, predictor.spec
    fits = own == theirs or is_multiple(own, theirs) or is_multiple(theirs, own)
    if predictor.labels != dataset.class_names or not fits:
        raise DataError(
            f"the teacher {model} tells {', '.join(predictor.labels)} apart in pictures of {predictor.spec.shape}, and "
            f"{data} has {', '.join(dataset.class_names)} in {dataset.spec.shape}: give one that was trained on {data}"
        )
    path = Path(model)
    if path.is_dir():
        path = path / runs.Run.load(path).model
    try:
        content = read_bytes(path, MAX_SOURCE_BYTES) if path.is_file() else read_model(model)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return Teacher(
        model,
        hashlib.sha256(content).hexdigest(),
        lambda images: predictor.probabilities(resized(images, predictor.spec)),
    )


def _open_folds(model: str, data: str, dataset: Dataset) -> Teacher:
    """Open out-of-fold networks, each for its own fold, with flip averaging where flips are allowed."""
    divided = FoldPlan.load(Path(model))
    opened = [open_teacher(str(run), data, dataset) for run in folds.runs_of(Path(model), divided.count)]
    by_fold = tuple(teacher.probabilities for teacher in opened)
    if divided.mirror:
        by_fold = tuple(_with_mirror_image(probabilities) for probabilities in by_fold)
    return Teacher(model, _hash_of(opened), _mean(by_fold), by_fold, divided)


def open_teachers(models: Sequence[str], data: str, dataset: Dataset) -> Teacher:
    """Open one or more models to learn from as one teacher, whose answers are the mean of theirs.

    Args:
        models: at least one, each as `open_teacher` takes it.
        data: how the user named the data set.
        dataset: what is trained on.

    Raises:
        ModelError: one of them cannot be used.
        DataError: one of them tells other classes apart, or takes other pictures, or two were divided into
            folds.
    """
    teachers = [open_teacher(model, data, dataset) for model in models]
    if len(teachers) == 1:
        return teachers[0]
    divided = [teacher for teacher in teachers if teacher.plan is not None]
    if len(divided) > 1:
        raise DataError(
            f"{' and '.join(teacher.name for teacher in divided)} are folds both, each divided its own way: give one of them"
        )
    by_fold = tuple(
        _mean([teacher.by_fold[fold] if teacher.by_fold else teacher.probabilities for teacher in teachers])
        for fold in range(len(divided[0].by_fold) if divided else 0)
    )
    together = _mean([teacher.probabilities for teacher in teachers])
    return Teacher(
        ", ".join(models), _hash_of(teachers), together, by_fold, divided[0].plan if divided else None
    )


def _mean(answering: Sequence[Probabilities]) -> Probabilities:
    def mean(images: NDArray[np.uint8]) -> Floats:
        total = sum(probabilities(images) for probabilities in answering)
        return np.asarray(total / np.float32(len(answering)), dtype=np.float32)

    return mean


def _with_mirror_image(probabilities: Probabilities) -> Probabilities:
    def mean(images: NDArray[np.uint8]) -> Floats:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        return (probabilities(images) + probabilities(mirrored)) / np.float32(2)

    return mean


def _hash_of(teachers: Sequence[Teacher]) -> str:
    return hashlib.sha256("".join(teacher.sha256 for teacher in teachers).encode()).hexdigest()


def distillation_loss(plain: Loss, share: float) -> Loss:
    """Return the loss of probabilities against `Teacher.targets`.

    Args:
        plain: of probabilities against allowed classes.
        share: of the loss that is the teacher's, in [0, 1].
    """
    ops = import_keras().ops

    def loss(targets: Any, predicted: Any) -> Any:  # noqa: ANN401  # Keras ships no types
        allowed, answers = ops.split(targets, 2, axis=-1)
        softened = ops.power(ops.clip(predicted, _LEAST, 1.0), 1 / TEMPERATURE)
        softened = softened / ops.sum(softened, axis=-1, keepdims=True)
        crossed = -ops.sum(answers * ops.log(softened), axis=-1)
        return (1 - share) * plain(allowed, predicted) + share * TEMPERATURE**2 * crossed

    return loss
