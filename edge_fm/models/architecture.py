"""Describe a model of the zoo: how to build and train it, its options, and its reference figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from edge_fm.models import edge, runs
from edge_fm.models.settings import Options, TrainSettings
from edge_fm_runtime.errors import DataError


class Framework(StrEnum):
    """Library that trains a model."""

    KERAS = "keras"
    SKLEARN = "scikit-learn"

    @property
    def file(self) -> str:
        """Name of the model's file in a run folder."""
        return runs.MODEL if self is Framework.KERAS else runs.SKLEARN_MODEL

    def tools(self) -> dict[str, str]:
        """Return names and versions of the libraries that train."""
        return runs.keras_tools() if self is Framework.KERAS else runs.sklearn_tools()


class Build(Protocol):
    """Build an untrained model."""

    def __call__(self, shape: tuple[int, int, int], classes: int, options: Options) -> Any:  # noqa: ANN401
        """Return a Keras model or scikit-learn classifier for (height, width, channels) pixels in [0, 1]."""
        ...


@dataclass(frozen=True)
class Reference:
    """A figure published by a source, and the tolerance for reaching it.

    Attributes:
        value: value of `metric`.
        metric: `accuracy`, `precision` or `recall` in [0, 1], or `loss` in nats.
        part: part of the data that was measured: `test`, `validation` or `folds`.
        runs: number of runs that the source averaged.
        slack: tolerance below `value`, for sources that stopped training on their test set.
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
    """Options and settings of one training of an architecture, with the source's figures.

    Attributes:
        references: figures to reach; empty if the source publishes none.
        options: options that replace the architecture's defaults.
        settings: training settings that replace the architecture's defaults.
    """

    references: tuple[Reference, ...] = ()
    options: Options = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model that can be trained by name.

    Attributes:
        name: name on the command line.
        summary: layers, in one line.
        data: data set that the model was made for.
        parameters: number of weights and biases for that data set.
        framework: library that trains the model.
        build: function that builds the untrained model.
        settings: default training settings.
        options: default values of the options.
        metrics: metrics recorded in addition to loss and accuracy.
        variants: trainings that `benchmarks/zoo.py` runs.
    """

    name: str
    summary: str
    data: str = "fashion-mnist"
    parameters: int
    framework: Framework = Framework.KERAS
    build: Build
    settings: TrainSettings = field(default_factory=TrainSettings)
    options: Options = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = (Variant(),)

    @property
    def train_options(self) -> tuple[str, ...]:
        """Options of `edge-fm train` that apply to this model, in addition to those for all models."""
        if self.name in edge.WIDTHS:
            return EDGE_OPTIONS
        return KERAS_OPTIONS if self.framework is Framework.KERAS else SKLEARN_OPTIONS

    def with_options(self, given: Mapping[str, str]) -> Options:
        """Parse and check options.

        Args:
            given: value of each option as text, by name.

        Raises:
            DataError: there is no such option, or a value is not a number in its range.
        """
        return {name: self._parse_option(name, text) for name, text in given.items()}

    def _parse_option(self, name: str, text: str) -> float:
        if name not in self.options:
            known = ", ".join(f"{key}={value:g}" for key, value in self.options.items()) or "none"
            raise DataError(f"{self.name} has no option {name!r}: its options are {known}")
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
"""(lowest, highest, whole number only) of each option."""
