"""The run folder: what one training leaves behind, and what an export finds there.

RUN/model.keras     the best weights seen, uncompiled
RUN/run.json        what was trained on what, with which settings, and the scores
RUN/history.csv     loss and accuracy of each epoch
RUN/curves.png      the same as a picture
RUN/validation.npz  pictures that no training saw, with the classes that each may be, for temperature and threshold
RUN/calibration.npz pictures for the ranges of int8, where the data set alone would not do
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_fm_runtime.errors import DataError, OutputError

MODEL = "model.keras"
RECORD = "run.json"
HISTORY = "history.csv"
CURVES = "curves.png"
CALIBRATION = "calibration.npz"
VALIDATION = "validation.npz"


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
        scale: `unit`: the network sees pixels in [0, 1].
        epochs: how many were run.
        best_epoch: the one whose weights were kept, from 1.
        seed: of weights, order and split.
        validation_share: of the training part, held out for early stopping.
        validation_accuracy: of the kept weights, in [0, 1].
        test_accuracy: of the kept weights, measured once at the end, in [0, 1].
        interrupted: whether Ctrl-C ended it.
        licence: of the data.
        tools: names and versions.
        created: ISO date.
    """

    architecture: str
    data: str
    class_names: tuple[str, ...]
    scale: str
    epochs: int
    best_epoch: int
    seed: int
    validation_share: float
    validation_accuracy: float
    test_accuracy: float
    interrupted: bool
    licence: str
    tools: dict[str, str]
    created: str

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
            return cls(**{**values, "class_names": tuple(values["class_names"])})
        except FileNotFoundError:
            raise DataError(
                f"{folder} is no run folder: {RECORD} is missing. 'edge-fm train' makes one"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is broken ({error}): train again, or export {MODEL} directly") from error
