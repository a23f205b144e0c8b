"""Trials of a recipe on labelled pictures, and which of them to take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.evidence import intervals
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import STANDARDS, Scale
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Fit, Polarity

_BY_CHANCE = 2.0
"""Standard errors of a difference that chance explains."""

_LEAST_PROBABILITY = 1e-7
_SHOWN = 4
"""Recipes whose figures are said in a line."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A recipe, measured on labelled pictures.

    Attributes:
        scale: pixel scale.
        fit: fit of the pictures.
        polarity: polarity of the pictures.
        right: (N,) bool, whether each picture got its label.
        losses: (N,) float64, cross-entropy of each picture in nats.
    """

    scale: Scale
    fit: Fit
    polarity: Polarity
    right: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self.losses.mean()) + 0.0  # no minus zero

    @property
    def accuracy(self) -> float:
        """Accuracy in [0, 1]."""
        return float(self.right.mean())

    @property
    def name(self) -> str:
        """Scale, and whether the pictures were inverted."""
        return f"{self.scale}, inverted" if self.polarity is Polarity.INVERT else str(self.scale)

    def is_less_accurate(self, best: "Trial", errors: float) -> bool:
        """Return whether it is less accurate than `best` by more standard errors, paired by picture."""
        lost, gained = np.sum(best.right & ~self.right), np.sum(self.right & ~best.right)
        return intervals.paired_difference(int(lost), int(gained), len(self.right), errors)[0] > 0

    def has_more_loss(self, best: "Trial", errors: float) -> bool:
        """Return whether its loss is larger than that of `best` by more standard errors, paired."""
        more = self.losses - best.losses
        return bool(more.mean() > errors * more.std() / np.sqrt(len(more)))


def measure(
    source: SourceModel, pictures: LabelledImages, recipe: tuple[Scale, Fit, Polarity], count: int
) -> Trial:
    """Return the trial of a scale, fit and polarity on the first `count` pictures, which have labels."""
    scale, fit, polarity = recipe
    labels = np.zeros(0, np.int64) if pictures.labels is None else pictures.labels[:count]
    # Of pixels on a scale that the network does not know, numbers can overflow.
    answers = np.nan_to_num(source.predict(scale.apply(turned(pictures.images[:count], polarity))))
    true = np.clip(answers[np.arange(len(labels)), labels], _LEAST_PROBABILITY, 1)
    right = answers.argmax(axis=1) == labels
    return Trial(scale, fit, polarity, right, -np.log(true, dtype=np.float64))


def turned(images: NDArray[np.uint8], polarity: Polarity) -> NDArray[np.uint8]:
    """Return images as the network gets them, before their scale."""
    return np.asarray(255 - images, np.uint8) if polarity is Polarity.INVERT else images


def ranked(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the trial to take, those that are as accurate within chance, and the others, each in order."""
    level = _level(trials)
    rest = sorted((trial for trial in trials if trial not in level), key=lambda trial: -trial.accuracy)
    return (*level, *rest)


def _level(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are as accurate as the best within chance, the one to take first."""
    best = max(trials, key=lambda trial: trial.accuracy)
    comparable = [trial for trial in trials if len(trial.right) == len(best.right)]
    level = [trial for trial in comparable if not trial.is_less_accurate(best, _BY_CHANCE)]
    return sorted(level, key=lambda trial: (trial.scale.name in STANDARDS, trial.loss))


def reason(what: str, trials: Sequence[Trial], names: Sequence[str]) -> str:
    """Return which trial was taken and why, in a line with the figures."""
    level = len(_level([trial for trial in trials if len(trial.right) == len(trials[0].right)]))
    figures = [
        f"{name} {trial.accuracy:.1%} (log loss {trial.loss:.3f})"
        for name, trial in zip(names, trials, strict=True)
    ][:_SHOWN]
    if level == 1:
        return f"{what}: {names[0]}, right most often: {', '.join(figures)}"
    is_least = trials[0].loss <= min(trial.loss for trial in trials[:level])
    why = f"{names[0]} has the least log loss" if is_least else "standard is taken last"
    tied = [
        name
        for name, trial in zip(names[1:level], trials[1:level], strict=True)
        if is_least and trial.scale.name not in STANDARDS and not trial.has_more_loss(trials[0], _BY_CHANCE)
    ]
    line = (
        f"{what}: {names[0]}, for {level} are equally accurate within chance and {why}: "
        f"{', '.join(figures[: max(level, 2)])}"
    )
    # Numbers of a larger scale make a network surer, and so its loss smaller where it is hardly ever wrong.
    return f"{line}. {' or '.join(tied)} may be right as well: give the one that is known" if tied else line
