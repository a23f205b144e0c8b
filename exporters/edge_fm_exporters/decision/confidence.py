"""Fit a decision: temperature, known-class score, and the confidence below which an image is unknown.

Temperature and threshold are fitted to held-out images; the known-class score, which has a number for
each class, to pictures of the training.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.known_class_score import features, known_class_score
from edge_fm_runtime.artifact.passport import Decision
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.untrusted.npz import read_arrays

_TEMPERATURES = np.exp(np.linspace(-1.5, 1.5, 121))
_SMALLEST = 1e-12
_ITERATIONS = 1000
_RANK = 2


@dataclass(frozen=True)
class DecisionImages:
    """Pictures with the classes that each may be.

    Attributes:
        images: (N, height, width, channels) uint8.
        allowed: (N, classes) bool; a row without any is of no class.
    """

    images: NDArray[np.uint8]
    allowed: NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> "DecisionImages":
        """Read an `.npz` with `images` and `allowed`.

        Raises:
            DataError: it cannot be read, or they do not go together.
        """
        try:
            arrays = read_arrays(path, ("images", "allowed"))
            images, allowed = np.asarray(arrays["images"]), np.asarray(arrays["allowed"])
        except Exception as error:  # NumPy raises many kinds for a damaged archive
            raise DataError(f"{path} cannot be read ({error})") from error
        if images.dtype != np.uint8 or allowed.dtype != bool or len(images) != len(allowed):
            raise DataError(
                f"{path} has images {images.dtype} {images.shape} and allowed {allowed.dtype} {allowed.shape}"
            )
        return cls(images, allowed)

    def groups(self, labels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return the classes that pictures may be together, each class once, in the order of the labels."""
        together = np.eye(len(labels), dtype=bool)
        for row in np.unique(self.allowed, axis=0):
            together |= np.outer(row, row)
        rows = {tuple(np.flatnonzero(row).tolist()) for row in together if row.sum() > 1}
        return tuple(tuple(labels[i] for i in row) for row in sorted(rows))


@dataclass(frozen=True)
class ScoredImages:
    """A file's probabilities for images, with their allowed classes.

    Attributes:
        raw: (N, classes) float32, its own probabilities.
        allowed: (N, classes) bool, the classes that each picture may be.
    """

    raw: NDArray[np.float32]
    allowed: NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> "ScoredImages":
        """Read an `.npz` with `raw` and `allowed`.

        Raises:
            DataError: it cannot be read, or they do not go together.
        """
        try:
            arrays = read_arrays(path, ("raw", "allowed"))
            raw, allowed = np.asarray(arrays["raw"]), np.asarray(arrays["allowed"])
        except Exception as error:  # NumPy raises many kinds for a damaged archive
            raise DataError(f"{path} cannot be read ({error}): train again") from error
        if (
            raw.dtype != np.float32
            or allowed.dtype != bool
            or raw.shape != allowed.shape
            or raw.ndim != _RANK
        ):
            raise DataError(
                f"{path} has raw {raw.dtype} {raw.shape} and allowed {allowed.dtype} {allowed.shape}: train again"
            )
        return cls(raw, allowed)


def fit(
    validation: ScoredImages,
    groups: tuple[tuple[str, ...], ...],
    labels: tuple[str, ...],
    coverage: float,
    training: ScoredImages | None = None,
) -> Decision:
    """Return the decision that suits a model's answers.

    The temperature has the least mean of minus the logarithm of the probability of all allowed classes
    together (Guo et al., 2017, arXiv:1706.04599, for several allowed classes); the score is a logistic
    regression that tells pictures of a class from pictures of none; the threshold leaves `coverage` of the
    pictures known.

    Args:
        validation: on pictures that no training saw; those of no class take no part.
        groups: labels whose probabilities are summed for the confidence.
        labels: of the classes.
        coverage: share of the validation pictures of a class that stay known, in (0, 1].
        training: on pictures of the training; without any, or where none is of no class, everything is
            known.

    Raises:
        DataError: no picture has an allowed class.
    """
    known = validation.allowed.any(axis=1)
    if not known.any():
        raise DataError("no validation picture is of a class that the model knows: nothing can be fitted")
    logs, right = _logs(validation.raw[known]), validation.allowed[known]
    losses = [
        -np.log(np.maximum((_tempered(logs, t) * right).sum(axis=1), _SMALLEST)).mean() for t in _TEMPERATURES
    ]
    temperature = round(float(_TEMPERATURES[int(np.argmin(losses))]), 3)
    weights = _known_class_weights(training, temperature) if training is not None else ()
    probabilities = _tempered(logs, temperature)
    together = np.eye(len(labels))
    for group in groups:
        members = [labels.index(label) for label in group]
        together[np.ix_(members, members)] = 1
    confidence = np.take_along_axis(probabilities @ together, probabilities.argmax(axis=1)[:, None], axis=1)[
        :, 0
    ] * known_class_score(probabilities, weights)
    threshold = float(np.quantile(confidence, 1 - coverage, method="lower"))
    unknown_below = min(1.0, np.floor(threshold * 1e4) / 1e4)
    return Decision(temperature, unknown_below, coverage, groups, known_class_weights=weights)


def _known_class_weights(training: ScoredImages, temperature: float) -> tuple[float, ...]:
    """Return a bias and a weight for each class; none if all pictures are of a class, or none is."""
    from sklearn.linear_model import LogisticRegression

    known = training.allowed.any(axis=1)
    if known.all() or not known.any():
        return ()
    inputs = features(_tempered(_logs(training.raw), temperature))
    fitted = LogisticRegression(class_weight="balanced", max_iter=_ITERATIONS).fit(inputs, known)
    return tuple(round(float(value), 4) for value in (*fitted.intercept_, *fitted.coef_[0]))


def _logs(raw: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log(np.maximum(raw.astype(np.float64), _SMALLEST))


def _tempered(logs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powered = np.exp(logs / temperature - (logs / temperature).max(axis=1, keepdims=True))
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))
