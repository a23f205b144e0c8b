"""The run folder: files that a training writes and an export reads.

RUN/model.keras          selected weights, uncompiled; RUN/model.skops for scikit-learn models,
                         RUN/model.onnx for transfer models
RUN/run.json             architecture, data, settings and scores
RUN/history.csv          loss and accuracy of each epoch
RUN/curves.png           the same as a chart
RUN/validation.npz       images not used in training, with possible classes, for temperature and threshold
RUN/ood_calibration.npz  augmented training images, half of them of no class, for the known-class score
RUN/scores.npz           out-of-fold probabilities of a transfer model, in place of these two sets
RUN/calibration.npz      images for the int8 ranges, where the data set alone is not representative
"""

import csv
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from edge_fm_exporters.evidence.findings import MeasuredAccuracy, QualityFinding
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import Fit, Polarity
from edge_fm_runtime.artifact.model_file import read_model, read_passport
from edge_fm_runtime.batch.outputs.atomic import atomic
from edge_fm_runtime.errors import DataError, OutputError
from edge_fm_runtime.untrusted import bounded_json, typed_json
from edge_fm_runtime.untrusted.regular_file import read_lines, read_text

MODEL = "model.keras"
SKLEARN_MODEL = "model.skops"
RECORD = "run.json"
HISTORY = "history.csv"
CURVES = "curves.png"
CALIBRATION = "calibration.npz"
VALIDATION = "validation.npz"
SCORES = "scores.npz"
ONNX_MODEL = "model.onnx"
OOD_CALIBRATION = "ood_calibration.npz"
_MAX_RECORD_BYTES = 16 * 2**20
_RECORD_VERSION = 2
FORMER_OOD_CALIBRATION = "lesson.npz"
"""The name of `OOD_CALIBRATION` in run folders of version 0.1.0."""


Resumable = Callable[[frozenset[str]], bool]
"""Function that tells whether files of these names in a folder are of a training that can be resumed."""


def check_free(folder: Path, resumable: Resumable | None = None) -> None:
    """Check that a training would overwrite nothing in its folder.

    Args:
        folder: run folder; it need not exist.
        resumable: tells by the names of its files whether the training goes on from them.

    Raises:
        OutputError: it holds a run or other files, is a file, or cannot be read.
    """
    try:
        names = frozenset(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be a run folder: {error.strerror}. Choose another folder with -o"
        ) from error
    if not names or (resumable is not None and resumable(names)):
        return
    found = "a run" if RECORD in names else f"{min(names)!r} and {len(names) - 1} other files"
    raise OutputError(
        f"{folder} holds {found}, and a training overwrites nothing: give another folder with -o, or --fresh, "
        f"which first moves it to {_free_name(folder).name}"
    )


def begin(folder: Path, *, fresh: bool = False, resumable: Resumable | None = None) -> None:
    """Create the folder of a training.

    Args:
        folder: run folder.
        fresh: whether a folder that is there is moved aside first; see `set_aside`.
        resumable: see `check_free`.

    Raises:
        OutputError: the folder holds a run or other files, or cannot be written.
    """
    if fresh:
        set_aside(folder)
    check_free(folder, resumable)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror}. Choose another folder with -o"
        ) from error


def set_aside(folder: Path) -> None:
    """Rename a folder RUN that is there to RUN.1, or to the next number that is free; nothing is deleted.

    Raises:
        OutputError: it cannot be renamed, or is the working directory.
    """
    if not os.path.lexists(folder):
        return
    if folder.resolve() == Path.cwd():
        raise OutputError(f"{folder} is the working directory: give another folder with -o")
    try:
        folder.rename(_free_name(folder))
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be moved aside: {error.strerror}. Choose another folder with -o"
        ) from error


def _free_name(folder: Path) -> Path:
    folder = folder if folder.name not in {"", ".."} else folder.resolve()
    number = 1
    while os.path.lexists(target := folder.with_name(f"{folder.name}.{number}")):
        number += 1
    return target


@dataclass(frozen=True)
class Run:
    """The record of a training.

    Attributes:
        architecture: name in the zoo.
        data: name or path of the data set, as on the command line.
        class_names: class names, in the order of the outputs.
        scale: pixel scale of the model; `unit` is [0, 1].
        model: name of the model's file in the folder.
        options: value of each option of the architecture.
        settings: training settings, by name.
        epochs: number of epochs run.
        best_epoch: epoch of the selected weights, from 1.
        scores: scores of the selected weights, by part of the data (`test`, measured once at the end,
            `validation`, `folds`), then by name (`accuracy`, `precision`, `recall` in [0, 1], `loss` in
            nats).
        seconds: duration of the training in seconds.
        interrupted: whether Ctrl-C ended the training.
        licence: licence of the data.
        tools: versions of the libraries, by name.
        created: ISO date.
        input_shape: (height, width, channels) of the input.
        fit: how pictures of other shapes became the input.
        polarity: whether their grey levels were inverted.
        test: folder that was the test part, as on the command line; None if the data set has its own.
        version: of the record; before 2, the parts of a folder were chosen by position, not by content.
        measured: number of right answers by part of the data, `test` and, over all folds, `folds`.
        findings: what is doubtful of the model and its data.
    """

    architecture: str
    data: str
    class_names: tuple[str, ...]
    scale: str
    model: str
    options: dict[str, Any]
    settings: dict[str, Any]
    epochs: int
    best_epoch: int
    scores: dict[str, dict[str, float]]
    seconds: float
    interrupted: bool
    licence: str
    tools: dict[str, str]
    created: str
    input_shape: tuple[int, int, int] = field(default=(28, 28, 1), metadata={"added_in": 1})
    fit: Fit = field(default=Fit.LETTERBOX, metadata={"added_in": 1})
    polarity: Polarity = field(default=Polarity.AS_IS, metadata={"added_in": 1})
    test: str | None = field(default=None, metadata={"added_in": 2})
    version: int = field(default=1, compare=False, metadata={"added_in": 2})
    measured: dict[str, MeasuredAccuracy] = field(default_factory=dict, metadata={"added_in": 2})
    findings: tuple[QualityFinding, ...] = field(default=(), metadata={"added_in": 2})

    def test_folder(self, data: str) -> Path | None:
        """Return the folder of the test part, if there is one and `data` is what the run was trained on."""
        is_own = data == self.data or Path(data).resolve() == Path(self.data).resolve()
        return Path(self.test) if self.test is not None and is_own else None

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test part, in [0, 1]."""
        return self.scores["test"]["accuracy"]

    def save(self, folder: Path) -> None:
        """Write `run.json`.

        Raises:
            DataError: a figure is not a number, as after a training that diverged.
        """
        try:
            record = asdict(replace(self, version=_RECORD_VERSION))
            text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        except ValueError:
            raise DataError(
                "the training has diverged: a loss or score is not a number. Train again with a lower --set learning_rate=RATE"
            ) from None
        with atomic(folder / RECORD) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `run.json`.

        Raises:
            DataError: the file is missing or broken.
        """
        path = folder / RECORD
        try:
            values = bounded_json.loads(read_text(path, _MAX_RECORD_BYTES))
            run: Self = typed_json.read(cls, values, "run")
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"{folder} is not a run folder: {RECORD} is missing. Create one with 'edge-fm train'"
            ) from None
        except (ValueError, OSError) as error:
            raise DataError(f"{path} is broken ({error}): train again, or export {MODEL} directly") from error
        if Path(run.model).name != run.model or run.model in {"", ".."}:
            raise DataError(
                f"{path} names the model {run.model!r:.60}, expected a file in the folder: train again"
            )
        return run


def is_run(path: Path) -> bool:
    """Return whether a path is a folder that `edge-fm train` finished."""
    return (path / RECORD).is_file()


def is_finished(model: Path) -> bool:
    """Return whether a model of a run is a file for a device already, with its passport."""
    return model.name == ONNX_MODEL and model.is_file() and read_passport(read_model(model)) is not None


def keras_tools() -> dict[str, str]:
    """Return the versions of Python and Keras, and the name of the Keras backend."""
    keras = import_keras()
    return {
        "python": platform.python_version(),
        "keras": keras.version(),
        "backend": keras.backend.backend(),
    }


def sklearn_tools() -> dict[str, str]:
    """Return the versions of Python and scikit-learn."""
    return {
        "python": platform.python_version(),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }


def write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write one row of figures per epoch."""
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history[0]])
        writer.writerows([n, *(f"{v:.6f}" for v in figures.values())] for n, figures in enumerate(history, 1))


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the figures of each epoch, without the epoch number; empty if there is no file.

    Raises:
        DataError: the file is broken.
    """
    try:
        rows = list(csv.DictReader(read_lines(path)))
        return [{name: float(text) for name, text in row.items() if name != "epoch"} for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} is broken ({error}): delete it, or train again") from error
