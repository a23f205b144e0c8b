"""Pictures of pictures: a strip of samples of a data set, and a sheet of labelled files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm.drawing.canvas import GREEN, RED, Canvas
from edge_fm_runtime.image.opencv import cv2

_TILE, _GAP, _CAPTION = 112, 8, 40
_STRIP_TILE, _STRIP_SAMPLES, _STRIP_NAME = 56, 12, 110
_STRIP_CLASSES = 40


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
    sheet = Canvas(columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP)
    for index, picture in enumerate(pictures):
        top = _GAP + index // columns * (_TILE + _CAPTION + _GAP)
        left = _GAP + index % columns * (_TILE + _GAP)
        small = cv2.resize(picture.image_bgr, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        sheet.place(np.asarray(small, np.uint8), left, top)
        colour, verdict = (GREEN, "right") if picture.right else (RED, "wrong")
        sheet.text(picture.label, left, top + _TILE + 16, 15, colour, width=_TILE)
        sheet.text(f"{picture.confidence:.0%}  {verdict}", left, top + _TILE + 33, 13, colour)
    sheet.save(path)


def write_strip(path: Path, dataset: Dataset, seed: int = 0) -> None:
    """Draw a row of training samples for each class (the first 40 classes).

    Raises:
        OutputError: it cannot be written.
    """
    rng = np.random.default_rng(seed)
    names = dataset.class_names[:_STRIP_CLASSES]
    pitch = _STRIP_TILE + 4
    sheet = Canvas(_STRIP_NAME + _STRIP_SAMPLES * pitch + _GAP, len(names) * pitch + _GAP)
    for index, name in enumerate(names):
        top = _GAP + index * pitch
        sheet.text(name, _GAP, top + _STRIP_TILE // 2 + 5, 15, width=_STRIP_NAME - 2 * _GAP)
        members = rng.permutation(np.flatnonzero(dataset.train.labels == index))[:_STRIP_SAMPLES]
        for position, member in enumerate(members):
            sheet.picture(dataset.train.images[member], _STRIP_NAME + position * pitch, top, _STRIP_TILE)
    sheet.save(path)
