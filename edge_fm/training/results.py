"""Inputs and results of a training, whatever the framework."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import Split
from edge_fm.models.settings import TrainSettings

_EVEN = 1.05
"""Largest ratio of two classes' counts that counts as even, which a stratified split is never exactly."""

Figures = dict[str, float]
"""Figures by name: `loss` in nats, `accuracy`, `precision` and `recall` in [0, 1]."""

Listener = Callable[[int, float, Figures | None], None]
"""Called with (epoch from 1, fraction of it done, its figures once it is done)."""


@dataclass(frozen=True)
class NamedSplit:
    """Images that a training is scored on after each epoch, and their name in its history."""

    name: str
    split: Split


@dataclass(frozen=True, kw_only=True)
class FitInputs:
    """Images and settings of a fit.

    Attributes:
        training: images to fit.
        validation: images to score after each epoch; early stopping needs them.
        settings: how long and how.
        listener: called with progress.
        folder: run folder, where the model file goes.
        metrics: metrics beyond accuracy: `precision`, `recall` (of probabilities over one half, all classes
            together).
        init_from: run folder of the same architecture whose weights are the start; None starts from random
            ones.
        augment: limits within which each picture is varied anew in each epoch; None shows them as they are.
    """

    training: Split
    validation: NamedSplit | None
    settings: TrainSettings
    listener: Listener
    folder: Path
    metrics: tuple[str, ...] = ()
    init_from: Path | None = None
    augment: Variation | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        history: figures of each epoch; those on validation images begin with `validation_`.
        best_epoch: epoch whose weights were kept, from 1.
        interrupted: whether Ctrl-C ended it.
        score: returns the figures of labelled images.
        predict: returns the (N,) predicted classes of images.
    """

    history: list[Figures]
    best_epoch: int
    interrupted: bool
    score: Callable[[Split], Figures]
    predict: Callable[[Split], NDArray[np.int64]]


def class_weights(labels: NDArray[np.int64]) -> dict[int, float] | None:
    """Return the weight of each class's images, None where all classes are about as frequent.

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
