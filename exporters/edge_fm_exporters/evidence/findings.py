"""Findings about a model and the pictures that it was measured on, each with what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.evidence import intervals

FEW_PICTURES = 100
"""Number of test pictures below which an accuracy is hardly known: its interval may span 0.2."""

FEW_OF_A_CLASS = 10
"""Number of test pictures of a class below which little is known of the class."""

MOST_UNEVEN = 20
"""Largest ratio of the training pictures of two classes that needs no word."""

_DEAD_FROM = 4
"""Test pictures from which a class that is never answered is dead.

With four, the 95 % interval of a recall of 0 ends below one half.
"""

_LISTED = 8
"""Classes that are named in a line."""

_WIDE, _NARROW = 0.02, 0.002
"""Widths of an interval from which two and three decimals suffice."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class QualityFinding:
    """A fact about a model or its data that somebody must know.

    Attributes:
        text: the fact, with its figures.
        remedy: what to do about it.
        is_failure: whether the model is of no use as it is.
    """

    text: str
    remedy: str
    is_failure: bool = False

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}"


@dataclass(frozen=True)
class MeasuredAccuracy:
    """Accuracy on labelled pictures.

    Attributes:
        right: number of pictures that got their label.
        images: number of pictures, at least 1.
        largest_class: number of pictures of the most frequent class.
    """

    right: int
    images: int
    largest_class: int

    @classmethod
    def of(cls, predicted: Labels, labels: Labels) -> Self:
        """Count the pictures whose predicted class is their label."""
        return cls(int(np.sum(predicted == labels)), len(labels), int(np.bincount(labels).max()))

    @property
    def value(self) -> float:
        """Accuracy in [0, 1]."""
        return self.right / self.images

    @property
    def interval(self) -> intervals.Interval:
        """Its 95 % interval."""
        return intervals.wilson(self.right, self.images)

    @property
    def largest_share(self) -> float:
        """Accuracy of always answering the most frequent class, in [0, 1]."""
        return self.largest_class / self.images

    def __str__(self) -> str:
        return (
            f"{self._figures}, {_pictures(self.images)}; the largest class alone is {self.largest_share:.2f})"
        )

    def as_cross_validation(self, folds: int) -> str:
        """Return the line for an accuracy that was counted over all folds, each by a model of the others.

        The interval is that of as many independent pictures, so it leaves out that the models of the folds
        differ.
        """
        return f"cross-validation {self._figures}, {folds} folds, {_pictures(self.images)})"

    @property
    def _figures(self) -> str:
        low, high = self.interval
        decimals = 2 if high - low >= _WIDE else 3 if high - low >= _NARROW else 4
        return f"{self.value:.4f} ({low:.{decimals}f} to {high:.{decimals}f}"


def pooled(parts: Sequence[MeasuredAccuracy]) -> MeasuredAccuracy:
    """Return the accuracy on several parts together; the largest class is that of each part."""
    return MeasuredAccuracy(
        sum(part.right for part in parts),
        sum(part.images for part in parts),
        sum(part.largest_class for part in parts),
    )


def judge_answers(
    probabilities: NDArray[np.float32], labels: Labels | None, names: Sequence[str], data: str
) -> tuple[QualityFinding, ...]:
    """Return what makes a model's answers look untrained or fed wrongly.

    Args:
        probabilities: answers, (N, classes).
        labels: classes of the images, if they are known.
        names: class names.
        data: name of the images.
    """
    predicted = probabilities.argmax(axis=1)
    found = judge_numbers(probabilities)
    if np.isnan(probabilities).any(axis=1).all():
        return found
    if labels is not None:
        return found + judge_predictions(predicted, labels, names, data)
    if len(predicted) > 1 and len(np.unique(predicted)) == 1:
        return (*found, _one_label(predicted, names, data, is_failure=True))
    return found


def judge_numbers(probabilities: NDArray[np.float32]) -> tuple[QualityFinding, ...]:
    """Return a finding where answers, (N, classes), are no numbers."""
    broken = int(np.isnan(probabilities).any(axis=1).sum())
    if not broken:
        return ()
    return (
        QualityFinding(
            f"the network answers {broken:,} of {len(probabilities):,} images with no number (NaN)",
            "train it again, or give the range of its pixels with --scale",
            is_failure=True,
        ),
    )


def judge_predictions(
    predicted: Labels, labels: Labels, names: Sequence[str], data: str
) -> tuple[QualityFinding, ...]:
    """Return whether predictions are no better than chance, and which classes are never among them.

    A model is at chance where the 95 % interval of its accuracy reaches down to the accuracy that its own
    answers would have, dealt out to the pictures at random: the expected agreement of J. Cohen, 1960, "A
    Coefficient of Agreement for Nominal Scales". With even classes that is the share of a class; with uneven
    ones it does not blame a model that finds the rare class for being right no more often than the share
    of the largest. It is no failure where so few pictures would not show a perfect model either.

    Args:
        predicted: (N,) predicted classes.
        labels: (N,) true classes.
        names: class names.
        data: name of the images.
    """
    classes = len(names)
    true, answered = (np.bincount(part, minlength=classes) for part in (labels, predicted))
    dead = np.flatnonzero((true > 0) & (answered == 0))
    found = []
    if len(predicted) > 1 and np.count_nonzero(answered) == 1 and len(dead):
        found.append(_one_label(predicted, names, data, is_failure=bool(true[dead].max() >= _DEAD_FROM)))
    else:
        found += _dead_classes(dead, true, names, data)
        found += _at_chance(MeasuredAccuracy.of(predicted, labels), true, answered, names, data)
    return tuple(found)


def _one_label(predicted: Labels, names: Sequence[str], data: str, *, is_failure: bool) -> QualityFinding:
    return QualityFinding(
        f"the network gives all {len(predicted):,} images of {data} the same label, {names[int(predicted[0])]}",
        _CHECK_LABELS,
        is_failure=is_failure,
    )


def _dead_classes(
    dead: NDArray[np.int64], true: NDArray[np.int64], names: Sequence[str], data: str
) -> list[QualityFinding]:
    """Return a finding for classes with enough pictures to tell, and one for those with fewer."""
    found = []
    for is_failure in (True, False):
        part = [index for index in dead.tolist() if bool(true[index] >= _DEAD_FROM) == is_failure]
        if part:
            counted = _listed([f"{names[index]} ({_pictures(int(true[index]))})" for index in part])
            remedy = "look for wrong labels among such pictures, and add more of them"
            found.append(
                QualityFinding(f"on {data} the model never answers {counted}", remedy, is_failure=is_failure)
            )
    return found


_CHECK_LABELS = (
    "check that the pictures have the right labels, and a model of another program its --labels and --scale; else train "
    "longer, or on more pictures"
)


def _at_chance(
    accuracy: MeasuredAccuracy,
    true: NDArray[np.int64],
    answered: NDArray[np.int64],
    names: Sequence[str],
    data: str,
) -> list[QualityFinding]:
    count, low = accuracy.images, accuracy.interval[0]
    by_chance = float(true @ answered) / count**2
    if low <= by_chance:
        is_decidable = intervals.wilson(count, count)[0] > float(true @ true) / count**2
        text = f"accuracy on {data} is {accuracy}, which is no more than chance ({by_chance:.2f})"
        if is_decidable:
            return [QualityFinding(text, _CHECK_LABELS, is_failure=True)]
        return [QualityFinding(f"{text} can be on so few pictures", "add pictures of each class")]
    if low <= accuracy.largest_share:
        largest = names[int(true.argmax())]
        text = f"accuracy on {data} is {accuracy}: always answering {largest} would be right about as often"
        return [
            QualityFinding(text, "judge the model by the recall of each class, which edge-fm evaluate prints")
        ]
    return []


def judge_test_size(
    test: NDArray[np.int64], names: Sequence[str], measure_more: str
) -> tuple[QualityFinding, ...]:
    """Return a finding where a test part is so small that cross-validation is the better figure.

    Args:
        test: (classes,) test pictures of each class.
        names: class names.
        measure_more: remedy, how to measure on more pictures.
    """
    few = np.flatnonzero(test < FEW_OF_A_CLASS)
    if len(few):
        counted = _listed([f"{names[index]} ({test[index]})" for index in few.tolist()])
        return (QualityFinding(f"fewer than {FEW_OF_A_CLASS} test pictures of {counted}", measure_more),)
    if test.sum() < FEW_PICTURES:
        return (QualityFinding(f"the test part has only {_pictures(int(test.sum()))}", measure_more),)
    return ()


def judge_unevenness(training: NDArray[np.int64], names: Sequence[str]) -> tuple[QualityFinding, ...]:
    """Return a finding where a class has many times the training pictures of another.

    Args:
        training: (classes,) training pictures of each class.
        names: class names.
    """
    most = int(training.argmax())
    rare = np.flatnonzero(training * MOST_UNEVEN < training[most])
    if not len(rare):
        return ()
    counted = _listed([f"{names[index]} ({training[index]:,})" for index in rare.tolist()])
    text = (
        f"classes are unbalanced more than {MOST_UNEVEN} to 1 in training pictures: {names[most]} "
        f"({training[most]:,}) against {counted}"
    )
    return (
        QualityFinding(
            text, "add pictures of the rare ones; their weight in training does not replace pictures"
        ),
    )


def judge_duplicates(count: int, test: int) -> tuple[QualityFinding, ...]:
    """Return a finding where test pictures are training pictures too.

    Args:
        count: number of test pictures that are the same as a training picture, or nearly.
        test: number of all test pictures.
    """
    if not count:
        return ()
    text = f"{count:,} of {test:,} test pictures are copies or near duplicates of training pictures"
    return (
        QualityFinding(text, "the test accuracy is too high for it; test on other scenes with --test DIR"),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"
