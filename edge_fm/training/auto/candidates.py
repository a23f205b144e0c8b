"""Candidates for a folder of pictures, what was found of each, and which one is taken."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.models import backbones
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.batch.outputs.atomic import atomic

RECORD = "candidates.csv"
"""Name of the table in a run folder."""

EDGE, WHOLE = "edge", backbones.WHOLE

Right = NDArray[np.bool_]
"""(N,) whether each training picture got its label, by a model that had not seen it."""


@dataclass(frozen=True)
class ModelCandidate:
    """A model that may be trained.

    Attributes:
        model: its name in the zoo.
        size: height and width of its input in pixels.
        channels: 1 for grey, 3 for colour.
    """

    model: str
    size: int
    channels: int

    def __str__(self) -> str:
        return f"{self.model}, {self.size}x{self.size} {'grey' if self.channels == 1 else 'colour'}"

    @property
    def spec(self) -> InputSpec:
        """Its input."""
        return InputSpec(self.size, self.size, self.channels)

    @property
    def is_edge(self) -> bool:
        """Whether all of it is trained, and not only its head."""
        return self.model == EDGE


CANDIDATES = (
    ModelCandidate(backbones.SMALL, 128, 3),
    ModelCandidate(WHOLE, 128, 3),
    ModelCandidate(WHOLE, 224, 3),
    ModelCandidate(EDGE, 28, 1),
    ModelCandidate(EDGE, 64, 3),
)
"""In the order in which they are tried: heads, which take seconds, before networks, which take minutes."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of a model.

    Attributes:
        kilobytes: largest int8 file, in kB.
        milliseconds: longest time for one image on one thread of this machine.
    """

    kilobytes: float = 4000
    milliseconds: float = 10


@dataclass(frozen=True)
class Cost:
    """Cost of a model.

    Attributes:
        kilobytes: size of its int8 file in kB, about.
        milliseconds: time for one image on one thread of this machine, in the precision of its training.
    """

    kilobytes: float
    milliseconds: float

    def excess(self, budget: Budget) -> str:
        """Return how it exceeds a budget, in words; empty if it does not."""
        if self.kilobytes > budget.kilobytes:
            return f"over --max-kb {budget.kilobytes:g}"
        if self.milliseconds > budget.milliseconds:
            return f"over --max-ms {budget.milliseconds:g}"
        return ""


@dataclass(frozen=True, kw_only=True)
class ModelTrial:
    """Findings on a candidate.

    Attributes:
        candidate: the model.
        cost: its cost; None if it was not measured.
        right: for each training picture in order; None if it was not tried on all.
        first: the same for those of the first fold, of a network of the edge family.
        each: accuracy on each fold that was tried.
        part: accuracy on what was tried; None if nothing was.
        flip: whether mirror images were trained on.
        note: why it was left out; empty if it was not.
    """

    candidate: ModelCandidate
    cost: Cost | None = None
    right: Right | None = None
    first: Right | None = None
    each: tuple[float, ...] = ()
    part: MeasuredAccuracy | None = None
    flip: bool = True
    note: str = ""

    def cells(self) -> list[str]:
        """Return candidate, accuracy, interval, kB, milliseconds and note."""
        cost, part = self.cost, self.part
        return [
            str(self.candidate),
            f"{part.value:.3f}" if part is not None else "-",
            f"{part.interval[0]:.2f} to {part.interval[1]:.2f}" if part is not None else "-",
            f"{cost.kilobytes:,.0f}" if cost is not None else "-",
            f"{cost.milliseconds:.2f}" if cost is not None else "-",
            self.note,
        ]


COLUMNS = ("model", "accuracy ", "95 % interval", "kB ", "ms ", "")


def is_behind(right: Right, best: Right, errors: float) -> bool:
    """Return whether accuracy is behind on the same pictures by more than a number of standard errors.

    The standard error is that of the mean difference between the two on each picture.
    """
    difference = best.astype(np.float64) - right
    return bool(difference.mean() > errors * difference.std() / np.sqrt(len(difference)))


def taken(trials: Sequence[ModelTrial]) -> tuple[ModelTrial, str] | None:
    """Return the trial to take and why: the smallest of those within one standard error of the best.

    Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3, for the rule of one standard
    error. None if no candidate was tried on all pictures.
    """
    whole = [(trial, trial.right) for trial in trials if trial.right is not None and not trial.note]
    if not whole:
        return None
    best, best_right = max(whole, key=lambda pair: float(pair[1].mean()))
    near = [trial for trial, right in whole if not is_behind(right, best_right, 1.0)]
    smallest = min(
        near, key=lambda trial: (trial.cost.kilobytes, trial.cost.milliseconds) if trial.cost else (0, 0)
    )
    if smallest is best:
        others = "the only one that was tried" if len(whole) == 1 else "the best"
        return best, others if len(
            near
        ) == 1 else "the best, and the smallest within one standard error of it"
    return smallest, f"the smallest within one standard error of the best, {best.candidate}"


def write(path: Path, trials: Sequence[ModelTrial]) -> None:
    """Write the table of candidates as CSV."""
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([column.strip() or "note" for column in COLUMNS])
        table.writerows(
            [cell.replace(",", "") if cell[:1].isdigit() else cell for cell in trial.cells()]
            for trial in trials
        )
