"""What a training is told and what it tells, whatever the framework."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split

_EVEN = 1.05
"""Largest ratio of two classes' counts that is called even: a stratified split is never quite so."""

Figures = dict[str, float]
"""Figures by name: `loss` in nats, `accuracy`, `precision` and `recall` in [0, 1]."""

Listener = Callable[[int, float, Figures | None], None]
"""Called with (epoch from 1, share of it done, its figures once it is done)."""


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        history: the figures of each epoch; those on validation pictures begin with `validation_`.
        best_epoch: the one whose weights were kept, from 1.
        interrupted: whether Ctrl-C ended it.
        score: from pictures with their classes to figures.
    """

    history: list[Figures]
    best_epoch: int
    interrupted: bool
    score: Callable[[Split], Figures]


@dataclass(frozen=True)
class Watched:
    """Pictures on which a training is scored as it goes, and what they are called in its history."""

    name: str
    split: Split


def class_weights(labels: NDArray[np.int64]) -> dict[int, float] | None:
    """Return for each class how much its pictures weigh, None where all classes are about as frequent.

    A class weighs N / (classes * count), which scikit-learn calls balanced (King and Zeng, 2001,
    "Logistic Regression in Rare Events Data").
    """
    classes, counts = np.unique(labels, return_counts=True)
    if counts.max() <= _EVEN * counts.min():
        return None
    return {
        int(index): len(labels) / (len(classes) * int(count))
        for index, count in zip(classes, counts, strict=True)
    }
