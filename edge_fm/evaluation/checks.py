"""Check a model and its data before either is called good: one list of findings for all commands."""

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm_exporters.evidence import findings
from edge_fm_exporters.evidence.findings import QualityFinding

MEASURE_MORE = "add pictures, or train with --set folds=5, so that cross-validation measures on all of them"
"""Remedy for few test pictures."""

MEASURE_MORE_EDGE = (
    "add pictures, or train into another folder with --set folds.count=5, so that cross-validation measures on all of "
    "them"
)
"""The same for the edge family, whose folds are a training of their own."""

MEASURE_MORE_REMEDIES = frozenset({MEASURE_MORE, MEASURE_MORE_EDGE})

Classes = NDArray[np.int64]


def check_run(
    dataset: Dataset,
    predicted: Classes,
    out_of_fold: tuple[Classes, Classes] | None = None,
    measure_more: str = MEASURE_MORE,
) -> tuple[QualityFinding, ...]:
    """Return what is doubtful of a model that was just trained, and of its data.

    Of a small test part little can be told: there the answers of cross-validation are judged, if there was
    one.

    Args:
        dataset: training and test part.
        predicted: (N,) predicted classes of the test part.
        out_of_fold: (N,) predicted and true classes of the training pictures, each answered by a model that
            had not seen it.
        measure_more: remedy for a small test part.
    """
    names = dataset.class_names
    if out_of_fold is not None and _is_small(dataset.test.labels, len(names)):
        judged = findings.judge_predictions(*out_of_fold, names, f"{dataset.name} (cross-validation)")
    else:
        judged = findings.judge_predictions(predicted, dataset.test.labels, names, f"{dataset.name} (test)")
    return judged + check_data(dataset, None if out_of_fold is not None else measure_more)


def check_data(dataset: Dataset, measure_more: str | None = MEASURE_MORE) -> tuple[QualityFinding, ...]:
    """Return what a data set's numbers of pictures and its division leave open.

    Args:
        dataset: training and test part.
        measure_more: remedy for a small test part; None where cross-validation measured on more.
    """
    classes = len(dataset.class_names)
    training, test = (np.bincount(part.labels, minlength=classes) for part in (dataset.train, dataset.test))
    found = findings.judge_unevenness(training, dataset.class_names)
    if measure_more is not None:
        found = findings.judge_test_size(test, dataset.class_names, measure_more) + found
    return found + check_duplicates(dataset)


def check_duplicates(dataset: Dataset) -> tuple[QualityFinding, ...]:
    """Return a finding where test pictures are training pictures, or near duplicates of some."""
    shared = max(dataset.test_in_training, shared_pictures(dataset))
    return findings.judge_duplicates(shared, len(dataset.test))


def shared_pictures(dataset: Dataset) -> int:
    """Return how many test pictures have the pixels of a training picture."""
    seen = {hash(image.tobytes()) for image in dataset.train.images}
    return sum(hash(image.tobytes()) in seen for image in dataset.test.images)


def _is_small(labels: Classes, classes: int) -> bool:
    return bool(findings.judge_test_size(np.bincount(labels, minlength=classes), [""] * classes, ""))
