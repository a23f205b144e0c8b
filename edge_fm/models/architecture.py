"""Describe a model of the zoo: how to build and train it, its options, and its reference figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from edge_fm.models import runs
from edge_fm.models.settings import Options, TrainSettings
from edge_fm_runtime.errors import DataError


class Framework(StrEnum):
    """Library that trains a model."""

    KERAS = "keras"
    SKLEARN = "scikit-learn"
    TRANSFER = "scikit-learn, on features of a pretrained network"

    @property
    def file(self) -> str:
        """Name of the model's file in a run folder."""
        names = {Framework.KERAS: runs.MODEL, Framework.SKLEARN: runs.SKLEARN_MODEL}
        return names.get(self, runs.ONNX_MODEL)

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
class GivenSettings:
    """Settings of a training, parsed from `--set`.

    Attributes:
        options: options in place of the architecture's own.
        training: training settings, with the architecture's defaults for what was not given.
        init_from: run folder whose weights are the start; None starts from random ones.
        names: fields of the training settings that were given.
    """

    options: Options
    training: TrainSettings
    init_from: Path | None = None
    names: frozenset[str] = frozenset()


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
        if self.framework is Framework.TRANSFER:
            return TRANSFER_OPTIONS
        return SKLEARN_OPTIONS if self.framework is Framework.SKLEARN else KERAS_OPTIONS

    @property
    def settable(self) -> dict[str, str]:
        """Default of everything that `--set` changes, as it would be written there, by name."""
        shown = {name: f"{value:g}" for name, value in self.options.items()}
        settings = self.settings
        shown |= {
            "batch_size": f"{settings.batch_size}",
            "learning_rate": f"{settings.learning_rate:g}",
            "validation": f"{settings.validation_share:g}",
            "patience": f"{settings.patience or 0}",
            "balance": "yes" if settings.balance else "no",
            "seed": f"{settings.seed}",
            "folds": f"{settings.folds}",
            "init_from": "RUN",
        }
        if self.framework is Framework.SKLEARN:
            shown = {name: text for name, text in shown.items() if name not in _ONLY_KERAS}
        if self.framework is Framework.TRANSFER:
            shown = {}
        return shown

    def parse(self, given: Mapping[str, str]) -> GivenSettings:
        """Parse and check options and settings of a model outside the edge family.

        Args:
            given: value of each as text, by name.

        Raises:
            DataError: there is no such setting, or a value is of another kind or out of range.
        """
        settable = self.settable
        for name in given:
            if name not in settable:
                takes = ", ".join(f"{key}={text}" for key, text in settable.items())
                raise DataError(f"--set {name}: {self.name} has no setting {name!r}; it takes {takes}")
        values = {
            name: _parse_yes(name, text) if name == "balance" else _parse_number(name, text)
            for name, text in given.items()
            if name != "init_from"
        }
        options = {name: values.pop(name) for name in self.options if name in values}
        if "validation" in values:
            values["validation_share"] = values.pop("validation")
        if "patience" in values:
            values["patience"] = values["patience"] or None
        if given.get("init_from") == "":
            raise DataError("--set init_from=: expected a run folder")
        start = Path(given["init_from"]) if "init_from" in given else None
        return GivenSettings(
            options=options,
            training=replace(self.settings, **values),
            init_from=start,
            names=frozenset(values),
        )


def _parse_number(name: str, text: str) -> Any:  # noqa: ANN401  # int or float, as the setting is
    low, high, whole = _RANGES[name]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise DataError(f"--set {name}={text:.40}: expected {kind} from {low:.10g} to {high:.10g}")
    return int(value) if whole else value


def _parse_yes(name: str, text: str) -> bool:
    if text.lower() not in _YES_OR_NO:
        raise DataError(f"--set {name}={text:.40}: expected yes or no")
    return _YES_OR_NO[text.lower()]


SKLEARN_OPTIONS = ("--set", "--epochs", "--size", "--channels", "--test", "--min-accuracy")
KERAS_OPTIONS = (*SKLEARN_OPTIONS, "--augment", "--flip")
TRANSFER_OPTIONS = ("--flip", "--size", "--test", "--min-accuracy")

_ONLY_KERAS = ("batch_size", "learning_rate", "patience", "init_from")

_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}

_RANGES = {
    "dropout": (0, 0.95, False),
    "C": (1e-6, 1e6, False),
    "alpha": (1e-9, 1e3, False),
    "max_iter": (1, 100_000, True),
    "average": (0, 1, True),
    "batch_size": (1, 10**6, True),
    "learning_rate": (1e-6, 1, False),
    "validation": (0, 0.9, False),
    "patience": (0, 100_000, True),
    "seed": (0, 2**32 - 1, True),
    "folds": (0, 9999, True),
}
"""(lowest, highest, whole number only) of each numeric setting."""
