"""What a training is told and what it tells, whatever the framework."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split

_EVEN = 1.05
"""Largest ratio of two classes' counts that is called even: a stratified split is never quite so."""

Options = dict[str, float]
"""What a model lets one vary, by name: `dropout`, `max_iter`."""

Figures = dict[str, float]
"""Figures by name: `loss` in nats, `accuracy`, `precision` and `recall` in [0, 1]."""

Listener = Callable[[int, float, Figures | None], None]
"""Called with (epoch from 1, share of it done, its figures once it is done)."""


@dataclass(frozen=True)
class Settings:
    """How long and how to train.

    Attributes:
        epochs: at most this many passes over the training part.
        batch_size: pictures a step; scikit-learn's models have none.
        patience: epochs without a better validation loss before it stops; the best epoch's weights are kept. None runs
            all epochs and keeps the last.
        validation_share: of the training part, in [0, 1); 0 trains on all of it and needs patience None.
        seed: of weights, order and split.
        folds: of a cross-validation before the training; 0 for none.
        balance: whether rare classes weigh more, as much as they are rarer.
    """

    epochs: int = 30
    batch_size: int = 64
    patience: int | None = 4
    validation_share: float = 0.1
    seed: int = 0
    folds: int = 0
    balance: bool = True


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
