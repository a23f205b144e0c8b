"""Draw a strip of a data set's samples, or a contact sheet of labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm.drawing.canvas import GREEN, RED, Canvas, TextStyle
from edge_fm_runtime.image.opencv import cv2

_TILE, _GAP, _CAPTION = 112, 8, 40
_STRIP_TILE, _STRIP_SAMPLES, _STRIP_NAME = 56, 12, 110
_STRIP_CLASSES = 40


@dataclass(frozen=True)
class SheetTile:
    """A labelled image on a contact sheet.

    Attributes:
        image_bgr: (H, W, 3) uint8, BGR.
        label: predicted label, or another caption.
        confidence: probability of the predicted label, in [0, 1].
        correct: whether the prediction is correct.
    """

    image_bgr: NDArray[np.uint8]
    label: str
    confidence: float
    correct: bool


def write_sheet(path: Path, tiles: Sequence[SheetTile], columns: int = 10) -> None:
    """Write a PNG file of images with label and confidence, green when correct and red when wrong.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = -(-len(tiles) // columns)
    sheet = Canvas(columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP)
    for index, tile in enumerate(tiles):
        top = _GAP + index // columns * (_TILE + _CAPTION + _GAP)
        left = _GAP + index % columns * (_TILE + _GAP)
        small = cv2.resize(tile.image_bgr, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        sheet.place(np.asarray(small, np.uint8), left, top)
        colour, verdict = (GREEN, "right") if tile.correct else (RED, "wrong")
        sheet.text(tile.label, left, top + _TILE + 16, TextStyle(size=15, colour=colour, width=_TILE))
        caption = f"{tile.confidence:.0%}  {verdict}"
        sheet.text(caption, left, top + _TILE + 33, TextStyle(size=13, colour=colour))
    sheet.save(path)


def write_strip(path: Path, dataset: Dataset, seed: int = 0) -> None:
    """Write a PNG file with a row of training samples for each of the first 40 classes.

    Raises:
        OutputError: the file cannot be written.
    """
    rng = np.random.default_rng(seed)
    names = dataset.class_names[:_STRIP_CLASSES]
    pitch = _STRIP_TILE + 4
    sheet = Canvas(_STRIP_NAME + _STRIP_SAMPLES * pitch + _GAP, len(names) * pitch + _GAP)
    for index, name in enumerate(names):
        top = _GAP + index * pitch
        style = TextStyle(size=15, width=_STRIP_NAME - 2 * _GAP)
        sheet.text(name, _GAP, top + _STRIP_TILE // 2 + 5, style)
        members = rng.permutation(np.flatnonzero(dataset.train.labels == index))[:_STRIP_SAMPLES]
        for position, member in enumerate(members):
            sheet.picture(dataset.train.images[member], _STRIP_NAME + position * pitch, top, _STRIP_TILE)
    sheet.save(path)
