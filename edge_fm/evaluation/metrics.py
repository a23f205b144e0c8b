"""Score a classifier on the test part of a data set, each score with its 95 % interval.

Accuracy, and precision and recall of a class, are shares of images, and their intervals Wilson's
(`edge_fm_exporters.evidence.intervals`). So is that of the F1 of a class, which is 2 J / (1 + J) for the
share J of correct images among all that are of the class or were taken for it. The intervals of means and of
the loss are percentile bootstraps (Efron, 1979, "Bootstrap Methods: Another Look at the Jackknife") from
1,000 resamples of the test part.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset, require_shape
from edge_fm.evaluation import checks
from edge_fm_exporters.evidence import findings, intervals
from edge_fm_exporters.evidence.findings import MeasuredAccuracy, QualityFinding
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

RESAMPLES = 1000
_COVERED = (2.5, 97.5)
_SMALLEST = 1e-7
_SEED = 0

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Predictor:
    """A trained classifier of any format.

    Attributes:
        name: file or folder name of the model.
        labels: class names, in the order of the outputs.
        spec: height, width and channels of the input.
        probabilities: function from (N, H, W, C) uint8 to (N, classes) float32.
        translations: labels in other languages, by language code.
    """

    name: str
    labels: tuple[str, ...]
    spec: InputSpec
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    translations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self, language: str | None) -> tuple[str, ...]:
        """Return the labels in a language, or the model's own for None.

        Raises:
            DataError: the model has no labels in this language.
        """
        if language is None:
            return self.labels
        if language not in self.translations:
            known = ", ".join(self.translations) or "none"
            raise DataError(f"{self.name} has no labels in {language!r}: its other languages are {known}")
        return self.translations[language]


@dataclass(frozen=True)
class Estimate:
    """A measured value with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class in [0, 1], 0 if it is never predicted or never present."""

    name: str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    images: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions and scores of a classifier on the test part of a data set.

    Attributes:
        model: name of the model.
        data: name of the data set.
        class_names: class names, in the order of the outputs.
        accuracy: accuracy in [0, 1].
        loss: mean cross-entropy in nats.
        precision: unweighted mean over the classes, in [0, 1].
        recall: unweighted mean over the classes, in [0, 1].
        f1: unweighted mean over the classes, in [0, 1].
        classes: scores of each class.
        confusion: (classes, classes) counts; rows are true, columns predicted.
        probabilities: (N, classes) float32 probabilities of each image.
        predicted: (N,) indices of the predicted classes.
        measured: accuracy as counts.
        findings: what is doubtful of the model and its data.
    """

    model: str
    data: str
    class_names: tuple[str, ...]
    accuracy: Estimate
    loss: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    classes: tuple[ClassScore, ...]
    confusion: Counts
    probabilities: NDArray[np.float32]
    predicted: Counts
    measured: MeasuredAccuracy
    findings: tuple[QualityFinding, ...] = ()

    @property
    def averages(self) -> dict[str, Estimate]:
        """Scores over all classes, by name."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the scores as a dict for `json.dumps`."""
        return {
            "model": self.model,
            "data": self.data,
            "images": len(self.predicted),
            **{name: asdict(figure) for name, figure in self.averages.items()},
            "largest_class": self.measured.largest_share,
            "findings": [asdict(finding) for finding in self.findings],
            "classes": [asdict(score) for score in self.classes],
            "confusion": self.confusion.tolist(),
        }


def evaluate(predictor: Predictor, dataset: Dataset, language: str | None = None) -> Evaluation:
    """Score a classifier on the test part of a data set.

    Args:
        predictor: classifier.
        dataset: data set with the model's input shape and class names.
        language: language code of the class names in the result; None for the model's own names.

    Raises:
        DataError: the data set does not fit the model, or the model has no labels in the language.
    """
    _check_fits(predictor, dataset)
    names = predictor.names(language)
    images, labels = dataset.test.images, dataset.test.labels
    probabilities = predictor.probabilities(images)
    predicted = probabilities.argmax(axis=1)
    classes = len(predictor.labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    rng = np.random.default_rng(_SEED)
    count = len(labels)
    resampled = rng.multinomial(count, confusion.ravel() / count, RESAMPLES).reshape(-1, classes, classes)
    losses = -np.log(np.maximum(probabilities[np.arange(count), labels].astype(np.float64), _SMALLEST))
    resampled_losses = np.array([losses[rng.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    actual, bootstrap = _class_figures(confusion[np.newaxis]), _class_figures(resampled)
    scores = tuple(_class_score(name, confusion, index) for index, name in enumerate(names))
    precision, recall, f1 = (
        _estimate(one.mean(), many.mean(axis=1)) for one, many in zip(actual, bootstrap, strict=True)
    )
    measured = MeasuredAccuracy.of(predicted, labels)
    part = "test" if len(dataset.train) else "all"
    judged = findings.judge_answers(probabilities, labels, names, f"{dataset.name} ({part})")
    return Evaluation(
        model=predictor.name,
        data=dataset.name,
        class_names=names,
        accuracy=Estimate(measured.value, *measured.interval),
        loss=_estimate(losses.mean(), resampled_losses),
        precision=precision,
        recall=recall,
        f1=f1,
        classes=scores,
        confusion=confusion,
        probabilities=probabilities,
        predicted=predicted,
        measured=measured,
        findings=judged + checks.check_data(dataset),
    )


def _check_fits(predictor: Predictor, dataset: Dataset) -> None:
    require_shape(dataset, predictor.spec)
    if dataset.class_names != predictor.labels:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, and the model has "
            f"{', '.join(predictor.labels)}: choose the data that the model was made for"
        )


def _class_figures(confusion: Counts) -> tuple[NDArray[np.float64], ...]:
    """Return (precision, recall, F1), each (N, classes), for (N, classes, classes) counts."""
    correct = np.diagonal(confusion, axis1=1, axis2=2)
    predicted, present = confusion.sum(axis=1), confusion.sum(axis=2)
    return (
        correct / np.maximum(1, predicted),
        correct / np.maximum(1, present),
        2 * correct / np.maximum(1, predicted + present),
    )


def _class_score(name: str, confusion: Counts, index: int) -> ClassScore:
    correct, predicted, present = (
        int(count) for count in (confusion[index, index], confusion[:, index].sum(), confusion[index].sum())
    )
    either = _share(correct, predicted + present - correct)
    f1 = Estimate(*(2 * share / (1 + share) for share in (either.value, either.low, either.high)))
    return ClassScore(name, _share(correct, predicted), _share(correct, present), f1, present)


def _share(hits: int, count: int) -> Estimate:
    return Estimate(hits / max(1, count), *intervals.wilson(hits, count))


def _estimate(value: float, resampled: NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(resampled, _COVERED)
    return Estimate(float(value), float(low), float(high))
