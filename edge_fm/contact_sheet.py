"""Pictures of pictures: a strip of samples of a data set, and a sheet of labelled files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.opencv import cv2

_TILE, _GAP, _CAPTION = 112, 8, 40
_INK, _PAPER, _RIGHT, _WRONG = (40, 40, 40), 255, (40, 130, 40), (40, 40, 210)
_STRIP_TILE, _STRIP_SAMPLES, _STRIP_NAME = 56, 12, 110


@dataclass(frozen=True)
class Labelled:
    """A picture for the sheet: (height, width, 3) uint8 in blue, green, red order, and what was said of it."""

    image_bgr: NDArray[np.uint8]
    label: str
    confidence: float
    right: bool


def write_sheet(path: Path, pictures: Sequence[Labelled], columns: int = 10) -> None:
    """Draw each picture with its label and confidence, green when right and red when wrong.

    Raises:
        OutputError: it cannot be written.
    """
    rows = -(-len(pictures) // columns)
    sheet = _paper(rows * (_TILE + _CAPTION + _GAP) + _GAP, columns * (_TILE + _GAP) + _GAP)
    for index, picture in enumerate(pictures):
        top = _GAP + index // columns * (_TILE + _CAPTION + _GAP)
        left = _GAP + index % columns * (_TILE + _GAP)
        sheet[top : top + _TILE, left : left + _TILE] = cv2.resize(
            picture.image_bgr, (_TILE, _TILE), interpolation=cv2.INTER_AREA
        )
        colour = _RIGHT if picture.right else _WRONG
        _write(sheet, picture.label, left, top + _TILE + 16, colour, 15)
        _write(
            sheet,
            f"{picture.confidence:.0%}  {'right' if picture.right else 'wrong'}",
            left,
            top + _TILE + 33,
            colour,
            13,
        )
    _save(path, sheet)


def write_strip(path: Path, dataset: Dataset, seed: int = 0) -> None:
    """Draw a row of training samples for each class (the first 40 classes).

    Raises:
        OutputError: it cannot be written.
    """
    rng = np.random.default_rng(seed)
    names = dataset.class_names[:40]
    pitch = _STRIP_TILE + 4
    sheet = _paper(len(names) * pitch + _GAP, _STRIP_NAME + _STRIP_SAMPLES * pitch + _GAP)
    for index, name in enumerate(names):
        top = _GAP + index * pitch
        _write(sheet, name, _GAP, top + _STRIP_TILE // 2 + 5, _INK, 15)
        members = rng.permutation(np.flatnonzero(dataset.train.labels == index))[:_STRIP_SAMPLES]
        for position, member in enumerate(members):
            left = _STRIP_NAME + position * pitch
            sheet[top : top + _STRIP_TILE, left : left + _STRIP_TILE] = _as_bgr(dataset.train.images[member])
    _save(path, sheet)


def _as_bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
    colour = cv2.cvtColor(image, code)
    return np.asarray(
        cv2.resize(colour, (_STRIP_TILE, _STRIP_TILE), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _paper(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _write(
    sheet: NDArray[np.uint8], text: str, left: int, baseline: int, colour: tuple[int, int, int], size: int
) -> None:
    cv2.putText(sheet, text, (left, baseline), colour, cv2.FontFace("sans"), size)


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    try:
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
