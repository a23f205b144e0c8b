"""Measure an exported file against its source, on the same images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.passport import Evidence, PrecisionKind
from edge_fm_runtime.session import Session

FP32_MAX_DIFFERENCE = 1e-5
"""Largest difference of a probability that a float32 export may show."""

FP32_MIN_AGREEMENT = 0.9999
"""Smallest share of images to which a float32 export must give the source's label."""

_BATCH = 500


@dataclass(frozen=True)
class Pictures:
    """Images to measure on.

    Attributes:
        name: of the data set.
        split: `test`, or what else it is.
        images: (N, height, width, channels) uint8.
        labels: (N,) integers, None where there are none.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Comparison:
    """Evidence, with what it was computed from: (N, classes) float32 each."""

    evidence: Evidence
    source: NDArray[np.float32]
    own: NDArray[np.float32]


@dataclass(frozen=True)
class Flip:
    """A picture to which the file gives another label than its source; labels are indices, `true` None if unknown."""

    index: int
    true: int | None
    source: int
    own: int
    source_probability: float
    own_probability: float


def probabilities(session: Session, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, classes) float32 of an exported file."""
    return np.concatenate(
        [session.run(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    )


def compare(source: NDArray[np.float32], session: Session, pictures: Pictures) -> Comparison:
    """Run the file on the pictures and compare with the source's probabilities for them."""
    own = probabilities(session, pictures.images)
    source_labels, own_labels = source.argmax(axis=1), own.argmax(axis=1)
    evidence = Evidence(
        data=pictures.name,
        split=pictures.split,
        images=len(own),
        source_accuracy=_accuracy(source_labels, pictures.labels),
        accuracy=_accuracy(own_labels, pictures.labels),
        label_agreement=float(np.mean(source_labels == own_labels)),
        max_probability_difference=min(1.0, float(np.abs(source - own).max())),
    )
    return Comparison(evidence, source, own)


def flips(comparison: Comparison, pictures: Pictures) -> tuple[Flip, ...]:
    """Return the pictures to which the file gives another label than its source."""
    source, own = comparison.source.argmax(axis=1), comparison.own.argmax(axis=1)
    return tuple(
        Flip(
            int(index),
            None if pictures.labels is None else int(pictures.labels[index]),
            int(source[index]),
            int(own[index]),
            float(comparison.source[index].max()),
            float(comparison.own[index].max()),
        )
        for index in np.flatnonzero(source != own)
    )


def shortfall(
    kind: PrecisionKind, evidence: Evidence, max_drop: float, max_difference: float = FP32_MAX_DIFFERENCE
) -> str:
    """Return in a sentence why a file may not be used in place of its source, empty if it may.

    Args:
        kind: fp32 is held to the source's numbers, int8 to its accuracy.
        evidence: what was measured.
        max_drop: accuracy that int8 may lose, in [0, 1]; without labels, labels that may differ.
        max_difference: of a probability, that fp32 may show.
    """
    if kind is PrecisionKind.FP32:
        if evidence.max_probability_difference > max_difference:
            return (
                f"probabilities differ by up to {evidence.max_probability_difference:.2g}, "
                f"the limit is {max_difference:g}"
            )
        if evidence.label_agreement < FP32_MIN_AGREEMENT:
            return f"labels agree on {evidence.label_agreement:.4%}, the limit is {FP32_MIN_AGREEMENT:.2%}"
        return ""
    if evidence.accuracy is None or evidence.source_accuracy is None:
        lost, what = 1 - evidence.label_agreement, "labels that differ"
    else:
        lost, what = evidence.source_accuracy - evidence.accuracy, "accuracy lost"
    return f"{what}: {lost:.4f}, the limit is {max_drop:g}" if lost > max_drop else ""


def _accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else float(np.mean(answers == labels))
