"""Scores of a classifier on the test part of a data set, each with the interval that chance leaves it.

Intervals are percentile bootstraps over the pictures (Efron, 1979, "Bootstrap Methods: Another Look at the Jackknife"):
95 % of 1,000 drawings of as many pictures, with repetition, lie inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset, require_shape
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

RESAMPLES = 1000
_COVERED = (2.5, 97.5)
_SMALLEST = 1e-7
_SEED = 0

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Predictor:
    """A trained classifier of any kind.

    Attributes:
        name: as the user gave it.
        labels: in the order of its outputs.
        spec: its input.
        probabilities: from (N, height, width, channels) uint8 to (N, classes) float32.
        translations: the labels in other languages, by language.
    """

    name: str
    labels: tuple[str, ...]
    spec: InputSpec
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    translations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self, language: str | None) -> tuple[str, ...]:
        """Return the labels in a language; None for the model's own.

        Raises:
            DataError: they are not known in it.
        """
        if language is None:
            return self.labels
        if language not in self.translations:
            known = ", ".join(self.translations) or "none"
            raise DataError(f"{self.name} has no labels in {language!r}; other languages it has: {known}")
        return self.translations[language]


@dataclass(frozen=True)
class Measured:
    """A figure, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, each in [0, 1]; 0 where nothing was predicted or present."""

    name: str
    precision: Measured
    recall: Measured
    f1: Measured
    images: int


@dataclass(frozen=True)
class Evaluation:
    """What a classifier made of the test part of a data set.

    Attributes:
        model: its name.
        data: name of the data set.
        class_names: in the order of the outputs.
        accuracy: in [0, 1].
        loss: mean cross-entropy in nats.
        precision: mean over the classes, each counting alike; so are recall and f1.
        recall: as precision.
        f1: as precision.
        classes: the scores of each.
        confusion: (classes, classes) counts; rows are true, columns predicted.
        probabilities: (N, classes) float32, of each picture.
        answers: (N,) indices of the predicted classes.
    """

    model: str
    data: str
    class_names: tuple[str, ...]
    accuracy: Measured
    loss: Measured
    precision: Measured
    recall: Measured
    f1: Measured
    classes: tuple[ClassScore, ...]
    confusion: Counts
    probabilities: NDArray[np.float32]
    answers: Counts

    @property
    def averages(self) -> dict[str, Measured]:
        """The figures over all classes, by name."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the figures for `json.dumps`."""
        return {
            "model": self.model,
            "data": self.data,
            "images": len(self.answers),
            **{name: asdict(figure) for name, figure in self.averages.items()},
            "classes": [asdict(score) for score in self.classes],
            "confusion": self.confusion.tolist(),
        }


def evaluate(predictor: Predictor, dataset: Dataset, language: str | None = None) -> Evaluation:
    """Score a classifier.

    Args:
        predictor: what answers.
        dataset: its test part is measured on.
        language: of the names to show; None for the model's own.

    Raises:
        DataError: the data set's pictures or class names are not the model's, or the language is not known.
    """
    _check_fits(predictor, dataset)
    names = predictor.names(language)
    images, labels = dataset.test.images, dataset.test.labels
    probabilities = predictor.probabilities(images)
    answers = probabilities.argmax(axis=1)
    classes = len(predictor.labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    rng = np.random.default_rng(_SEED)
    count = len(labels)
    drawn = rng.multinomial(count, confusion.ravel() / count, RESAMPLES).reshape(-1, classes, classes)
    losses = -np.log(np.maximum(probabilities[np.arange(count), labels].astype(np.float64), _SMALLEST))
    drawn_losses = np.array([losses[rng.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    own, resampled = _class_figures(confusion[np.newaxis]), _class_figures(drawn)
    scores = []
    for index, name in enumerate(names):
        precision, recall, f1 = (
            _measured(one[0, index], many[:, index]) for one, many in zip(own, resampled, strict=True)
        )
        scores.append(ClassScore(name, precision, recall, f1, int(confusion[index].sum())))
    precision, recall, f1 = (
        _measured(one.mean(), many.mean(axis=1)) for one, many in zip(own, resampled, strict=True)
    )
    right = np.trace(drawn, axis1=1, axis2=2) / count
    return Evaluation(
        model=predictor.name,
        data=dataset.name,
        class_names=names,
        accuracy=_measured(float(np.mean(answers == labels)), right),
        loss=_measured(losses.mean(), drawn_losses),
        precision=precision,
        recall=recall,
        f1=f1,
        classes=tuple(scores),
        confusion=confusion,
        probabilities=probabilities,
        answers=answers,
    )


def _check_fits(predictor: Predictor, dataset: Dataset) -> None:
    require_shape(dataset, predictor.spec)
    if dataset.class_names != predictor.labels:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, and the model answers "
            f"{', '.join(predictor.labels)}: choose the data that it was made for"
        )


def _class_figures(confusion: Counts) -> tuple[NDArray[np.float64], ...]:
    """Return (precision, recall, F1), each (N, classes), of (N, classes, classes) counts."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    given, present = confusion.sum(axis=1), confusion.sum(axis=2)
    return (
        right / np.maximum(1, given),
        right / np.maximum(1, present),
        2 * right / np.maximum(1, given + present),
    )


def _measured(value: float, resampled: NDArray[np.float64]) -> Measured:
    low, high = np.percentile(resampled, _COVERED)
    return Measured(float(value), float(low), float(high))
