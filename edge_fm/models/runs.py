"""The run folder: what one training leaves behind, and what an export finds there.

RUN/model.keras     the kept weights, uncompiled; of scikit-learn's models RUN/model.skops
RUN/run.json        what was trained on what, with which settings, and the scores
RUN/history.csv     loss and accuracy of each epoch
RUN/curves.png      the same as a picture
RUN/validation.npz  pictures that no training saw, with the classes that each may be, for temperature and threshold
RUN/lesson.npz      pictures as the training saw them, half of them of no class, for the familiarity
RUN/calibration.npz pictures for the ranges of int8, where the data set alone would not do
"""

import csv
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError, OutputError

MODEL = "model.keras"
SKLEARN_MODEL = "model.skops"
RECORD = "run.json"
HISTORY = "history.csv"
CURVES = "curves.png"
CALIBRATION = "calibration.npz"
VALIDATION = "validation.npz"
OOD_CALIBRATION = "lesson.npz"


def begin(folder: Path) -> None:
    """Make the folder of a training; until the training ends it is no run.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror}. Choose another folder with -o"
        ) from error


@dataclass(frozen=True)
class Run:
    """The record of a training.

    Attributes:
        architecture: name in the zoo.
        data: what `--data` was; a folder's path is kept as given.
        class_names: in the order of the outputs.
        scale: `unit`: the model sees pixels in [0, 1].
        model: name of the model's file in the folder.
        options: what the model lets one vary, by name.
        settings: how long and how it was trained, by name.
        epochs: how many were run.
        best_epoch: the one whose weights were kept, from 1.
        scores: of the kept weights, by part of the data (`test`, measured once at the end, `validation`, `folds`), then
            by name (`accuracy`, `precision`, `recall` in [0, 1], `loss` in nats).
        seconds: that it took.
        interrupted: whether Ctrl-C ended it.
        licence: of the data.
        tools: names and versions.
        created: ISO date.
        input_shape: (height, width, channels) of the pictures.
    """

    architecture: str
    data: str
    class_names: tuple[str, ...]
    scale: str
    model: str
    options: dict[str, float]
    settings: dict[str, Any]
    epochs: int
    best_epoch: int
    scores: dict[str, dict[str, float]]
    seconds: float
    interrupted: bool
    licence: str
    tools: dict[str, str]
    created: str
    input_shape: tuple[int, int, int] = (28, 28, 1)

    @property
    def test_accuracy(self) -> float:
        """In [0, 1]."""
        return self.scores["test"]["accuracy"]

    def save(self, folder: Path) -> None:
        """Write `run.json`."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Read `run.json`.

        Raises:
            DataError: it is missing or broken.
        """
        path = folder / RECORD
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            tuples = {name: tuple(values[name]) for name in ("class_names", "input_shape") if name in values}
            return cls(**{**values, **tuples})
        except FileNotFoundError:
            raise DataError(
                f"{folder} is no run folder: {RECORD} is missing. 'edge-fm train' makes one"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is broken ({error}): train again, or export {MODEL} directly") from error


def keras_tools() -> dict[str, str]:
    """Return the names and versions of what trains a network."""
    keras = import_keras()
    return {
        "python": platform.python_version(),
        "keras": keras.version(),
        "backend": keras.backend.backend(),
    }


def sklearn_tools() -> dict[str, str]:
    """Return the names and versions of what fits scikit-learn's models."""
    return {
        "python": platform.python_version(),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write a row of figures for each epoch."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history[0]])
        writer.writerows([n, *(f"{v:.6f}" for v in figures.values())] for n, figures in enumerate(history, 1))


def read_history(path: Path) -> list[dict[str, float]]:
    """Return what `write_history` wrote, without the epochs' numbers; empty if there is no such file.

    Raises:
        DataError: it is broken.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{name: float(text) for name, text in row.items() if name != "epoch"} for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is broken ({error}): delete it, or train again") from error
