"""Fit the head of a pretrained backbone: multinomial logistic regression on standardised features.

The penalty, and whether mirror images help, are chosen by the log loss out of fold, on training images alone.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_sklearn
from edge_fm_runtime.errors import DataError

FOLDS = 5

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Candidates for scikit-learn's C, the inverse penalty."""

_ITERATIONS = 300
_SMALLEST = 1e-9
_MIN_FOLDS = 2

Groups = NDArray[Any] | None
"""(N,) labels of images that belong together, such as those of one person; None where nothing is known."""


@dataclass(frozen=True)
class Head:
    """A fitted head, its standardisation folded in.

    Attributes:
        weights: (features, classes) float64.
        bias: (classes,) float64.
        penalty: scikit-learn's C.
        flip: whether mirror images were fitted too.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalty: float
    flip: bool

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N, classes) float64 for (N, features)."""
        scores = features.astype(np.float64) @ self.weights + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class OutOfFold:
    """Result of a cross-validation.

    Attributes:
        probabilities: (N, classes) float64 of each image, by a head that was not fitted to its fold.
        accuracy: fraction of images whose likeliest class is theirs.
        log_loss: mean of minus the logarithm of their class's probability, in nats.
        penalty: scikit-learn's C that was chosen.
        flip: whether mirror images were fitted too.
        each: accuracy on each fold.
    """

    probabilities: NDArray[np.float64]
    accuracy: float
    log_loss: float
    penalty: float
    flip: bool
    each: tuple[float, ...]


def cross_validated(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Groups = None,
    *,
    mirrored: NDArray[np.float32] | None = None,
    flip: bool | None = None,
) -> OutOfFold:
    """Choose the penalty by out-of-fold log loss, and return the out-of-fold probabilities with it.

    Args:
        features: (N, features) of the training images.
        labels: (N,) their classes, 0 to the highest.
        groups: images of one group stay on one side of every fold; None splits by class alone.
        mirrored: (N, features) of their mirror images; None fits without them.
        flip: whether mirror images are fitted too; None tries both.

    Raises:
        DataError: scikit-learn is not installed, or the images cannot be divided into two folds.
    """
    folds = _folds(labels, groups)
    choices = [False, True] if flip is None else [flip]
    found: list[OutOfFold] = []
    for flipped in choices if mirrored is not None else [False]:
        best = None
        for penalty in PENALTIES:
            tried = _out_of_fold(features, labels, folds, mirrored if flipped else None, penalty)
            if best is not None and tried.log_loss >= best.log_loss:
                break  # along the penalties the loss has one minimum
            best = tried
        if best is not None:
            found.append(best)
    return min(found, key=lambda tried: tried.log_loss)


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    penalty: float,
    mirrored: NDArray[np.float32] | None = None,
) -> Head:
    """Fit a head to all images.

    Args:
        features: (N, features) of the images.
        labels: (N,) their classes, 0 to the highest, each at least once.
        penalty: scikit-learn's C.
        mirrored: (N, features) of their mirror images, to be fitted too; None for none.

    Raises:
        DataError: scikit-learn is not installed.
    """
    linear_model = import_sklearn("linear_model")
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    both = features if mirrored is None else np.concatenate([features, mirrored])
    twice = labels if mirrored is None else np.concatenate([labels, labels])
    mean, deviation = both.mean(axis=0, dtype=np.float64), both.std(axis=0, dtype=np.float64)
    factor = 1 / np.where(deviation > 0, deviation, 1)
    model = linear_model.LogisticRegression(C=penalty, max_iter=_ITERATIONS, class_weight="balanced")
    # On matrices of this size BLAS spends 20 to 50 times as long on handing work to threads.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unfinished fit is one more candidate
        model.fit(((both - mean) * factor).astype(np.float32), twice)
    weights, bias = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if weights.shape[1] == 1:  # the second of two classes
        weights, bias = np.hstack([0 * weights, weights]), np.append(0 * bias, bias)
    weights *= factor[:, None]
    return Head(weights, bias - mean @ weights, penalty, mirrored is not None)


def _folds(labels: NDArray[np.int64], groups: Groups) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (rest, fold) indices, with some of each class and whole groups as far as that goes.

    Raises:
        DataError: there are not enough images or groups.
    """
    selection = import_sklearn("model_selection")
    most = int(np.bincount(labels).max())
    units = most if groups is None else min(most, len(np.unique(groups)))
    count = min(FOLDS, units)
    if count < _MIN_FOLDS:
        raise DataError(
            f"{len(labels)} training images cannot be divided into folds: give at least two of a class, and two groups"
        )
    kind = selection.StratifiedKFold if groups is None else selection.StratifiedGroupKFold
    splitter = kind(count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer images than folds is missing from some
        folds = list(splitter.split(labels, labels, groups))
    return [(rest, fold) for rest, fold in folds if len(fold) and len(np.unique(labels[rest])) > 1]


def _out_of_fold(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    mirrored: NDArray[np.float32] | None,
    penalty: float,
) -> OutOfFold:
    classes = int(labels.max()) + 1
    probabilities = np.full((len(labels), classes), 1 / classes)
    for rest, fold in folds:
        present, relabelled = np.unique(labels[rest], return_inverse=True)
        head = fit(features[rest], relabelled, penalty, None if mirrored is None else mirrored[rest])
        probabilities[fold] = 0
        probabilities[np.ix_(fold, present)] = head.probabilities(features[fold])
    own = probabilities[np.arange(len(labels)), labels]
    return OutOfFold(
        probabilities,
        float(np.mean(probabilities.argmax(axis=1) == labels)),
        float(-np.log(np.maximum(own, _SMALLEST)).mean()),
        penalty,
        mirrored is not None,
        tuple(float(np.mean(probabilities[fold].argmax(axis=1) == labels[fold])) for _, fold in folds),
    )
