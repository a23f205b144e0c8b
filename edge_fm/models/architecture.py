"""What the zoo says of a model: how it is built and trained, what it lets one vary, which figures it is held to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from edge_fm.models import edge, runs
from edge_fm.models.settings import Options, TrainSettings
from edge_fm_runtime.errors import DataError


class Framework(StrEnum):
    """What a model is trained with."""

    KERAS = "keras"
    SKLEARN = "scikit-learn"

    @property
    def file(self) -> str:
        """Name of the model's file in a run folder."""
        return runs.MODEL if self is Framework.KERAS else runs.SKLEARN_MODEL

    def tools(self) -> dict[str, str]:
        """Return the names and versions of what trains."""
        return runs.keras_tools() if self is Framework.KERAS else runs.sklearn_tools()


class Build(Protocol):
    """Build an untrained model."""

    def __call__(self, shape: tuple[int, int, int], classes: int, options: Options) -> Any:  # noqa: ANN401
        """Return a Keras model or scikit-learn classifier for (height, width, channels) pixels in [0, 1]."""
        ...


@dataclass(frozen=True)
class Reference:
    """A figure that a source shows, and how close an honest one has to come.

    Attributes:
        value: of `metric`: `accuracy`, `precision`, `recall` in [0, 1], `loss` in nats.
        metric: which one.
        part: of the data that it is measured on: `test`, `validation`, `folds`.
        runs: of how many runs the source's figure is the mean.
        slack: how far below an honest figure may be, because the source stopped on its test set.
    """

    value: float
    metric: str = "accuracy"
    part: str = "test"
    runs: int = 1
    slack: float = 0.0

    def __str__(self) -> str:
        text = f"{self.metric} {self.value:g} ({self.part})"
        return f"{text}, mean of {self.runs}" if self.runs > 1 else text


@dataclass(frozen=True)
class Variant:
    """One way of training an architecture for which a source shows figures.

    Attributes:
        references: what to reach; empty where the source shows none.
        options: in place of the architecture's own.
        settings: in place of the architecture's own.
    """

    references: tuple[Reference, ...] = ()
    options: Options = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """A model that can be trained by name.

    Attributes:
        name: what the user types.
        summary: its layers in a line.
        data: the data set that it was made for.
        parameters: weights and biases for that data set.
        framework: Keras or scikit-learn.
        build: makes it.
        settings: how long and how it is trained, unless the user says otherwise.
        options: what it lets one vary, with its own values.
        metrics: watched beyond loss and accuracy.
        variants: what `benchmarks/zoo.py` trains.
    """

    name: str
    summary: str
    data: str
    parameters: int
    framework: Framework
    build: Build
    settings: TrainSettings = field(default_factory=TrainSettings)
    options: Options = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = (Variant(),)

    @property
    def train_options(self) -> tuple[str, ...]:
        """Options of `edge-fm train` that this model takes, beyond those that every model takes."""
        if self.name in edge.WIDTHS:
            return EDGE_OPTIONS
        return KERAS_OPTIONS if self.framework is Framework.KERAS else SKLEARN_OPTIONS

    def with_options(self, given: Mapping[str, str]) -> Options:
        """Return the options that a user asks for.

        Args:
            given: text by name.

        Raises:
            DataError: there is no such option, or the value is no number in its range.
        """
        return {name: self._option(name, text) for name, text in given.items()}

    def _option(self, name: str, text: str) -> float:
        if name not in self.options:
            known = ", ".join(f"{key}={value:g}" for key, value in self.options.items()) or "none"
            raise DataError(f"{self.name} has no option {name!r}: what it lets you vary is {known}")
        low, high, whole = _RANGES[name]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise DataError(f"--set {name}={text}: expected {kind} from {low:g} to {high:g}")
        return value


_SHARED = ("--set", "--epochs", "--validation", "--size", "--seed", "--min-accuracy")
EDGE_OPTIONS = (*_SHARED, "--batch-size", "--learning-rate", "--init-from")
KERAS_OPTIONS = (*EDGE_OPTIONS, "--patience", "--channels", "--balance")
SKLEARN_OPTIONS = (*_SHARED, "--channels", "--balance")

_RANGES = {
    "dropout": (0, 0.95, False),
    "C": (1e-6, 1e6, False),
    "alpha": (1e-9, 1e3, False),
    "max_iter": (1, 100_000, True),
    "average": (0, 1, True),
}
"""Lowest and highest value of each option, and whether it is a whole number."""
