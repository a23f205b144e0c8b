"""Scores of a classifier on the test part of a data set."""

from dataclasses import dataclass

import numpy as np

from edge_fm.datasets import Dataset
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError

_BATCH = 500
_SMALLEST = 1e-7


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, each in [0, 1]; 0 where nothing was predicted or present."""

    name: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Scores:
    """Accuracy in [0, 1], mean cross-entropy in nats, and the scores of each class."""

    accuracy: float
    loss: float
    classes: tuple[ClassScore, ...]


def evaluate(classifier: Classifier, dataset: Dataset) -> Scores:
    """Score a classifier.

    Raises:
        DataError: the data set's pictures or class names are not the model's.
    """
    passport = classifier.passport
    if dataset.spec.shape != passport.input.shape:
        raise DataError(
            f"{dataset.name} has pictures of {dataset.spec.shape}, the model takes {passport.input.shape}"
        )
    if dataset.class_names != passport.labels:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, the model answers "
            f"{', '.join(passport.labels)}: choose the data that it was made for"
        )
    images, labels = dataset.test.images, dataset.test.labels
    batches = range(0, len(images), _BATCH)
    probabilities = np.concatenate(
        [classifier.probabilities(images[start : start + _BATCH]) for start in batches]
    )
    answers = probabilities.argmax(axis=1)
    confusion = np.zeros((len(passport.labels), len(passport.labels)), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    scores = []
    for index, name in enumerate(passport.labels):
        right, given, present = confusion[index, index], confusion[:, index].sum(), confusion[index].sum()
        precision, recall = right / max(1, given), right / max(1, present)
        f1 = 2 * right / max(1, given + present)
        scores.append(ClassScore(name, float(precision), float(recall), float(f1), int(present)))
    chosen = probabilities[np.arange(len(labels)), labels]
    loss = float(-np.log(np.maximum(chosen, _SMALLEST)).mean())
    return Scores(float(np.mean(answers == labels)), loss, tuple(scores))
