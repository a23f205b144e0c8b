"""Draw the figures of an evaluation: samples, confusion matrix and predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split
from edge_fm.drawing.canvas import (
    BLUE,
    BOLD,
    INK,
    LINE,
    PAPER,
    QUIET,
    RED,
    Canvas,
    Colour,
    Rect,
    TextStyle,
    text_width,
)
from edge_fm.evaluation.metrics import Evaluation

_MARGIN = 32
_TITLE = 64
_BARS = 10
_SMALLEST_SHOWN = 0.0005
"""Smaller fractions round to 0.0 % and are left out."""

_ROOM_FOR_TEXT = 44
_DARK = 420
"""Sum of red, green and blue below which text is white."""

_TRACK: Colour = (240, 241, 243)
"""Background of a bar."""

_HEADING = TextStyle(size=28, weight=BOLD)


def samples(split: Split, class_names: Sequence[str], title: str, count: int = 25, seed: int = 0) -> Canvas:
    """Draw random images with their class names, five in a row."""
    columns, side, gap, caption = 5, 168, 24, 36
    chosen = split.sample(count, seed)
    rows = -(-len(chosen) // columns)
    width = 2 * _MARGIN + columns * (side + gap) - gap
    canvas = Canvas(width, _TITLE + _MARGIN + rows * (side + caption + gap))
    canvas.text(title, _MARGIN, 52, TextStyle(size=28, weight=BOLD, width=width - 2 * _MARGIN))
    for index, (image, label) in enumerate(zip(chosen.images, chosen.labels, strict=True)):
        left = _MARGIN + index % columns * (side + gap)
        top = _TITLE + 16 + index // columns * (side + caption + gap)
        canvas.picture(image, left, top, side)
        canvas.frame(Rect(left, top, side, side), LINE, 1)
        style = TextStyle(size=20, align=0.5, width=side + gap - 4)
        canvas.text(class_names[label], left + side / 2, top + side + 26, style)
    return canvas


def confusion(evaluation: Evaluation) -> Canvas:
    """Draw the confusion matrix in percent of each true class."""
    names, counts = evaluation.class_names, evaluation.confusion
    cell = 84 if len(names) <= 12 else 44 if len(names) <= 40 else 20  # noqa: PLR2004
    size = 20 if cell >= _ROOM_FOR_TEXT else 12
    left = _MARGIN + max(text_width(name, size) for name in names) + 44
    top = _TITLE + 44 + size + 12
    side = cell * len(names)
    canvas = Canvas(max(left + side + _MARGIN + 40, 640), top + side + _MARGIN + size + 16)
    canvas.text(f"{evaluation.model} on {evaluation.data} (test)", _MARGIN, 44, _HEADING)
    note = TextStyle(size=18, colour=QUIET)
    canvas.text("rows: what it is, columns: what it was called, in % of the row", _MARGIN, 76, note)
    fractions = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, name in enumerate(names):
        middle = top + cell * (row + 0.5)
        canvas.text(name, left - 12, middle + size * 0.35, TextStyle(size=size, align=1))
        canvas.text(
            name,
            left + cell * (row + 0.5),
            top - 12 - size * 1.2 * (row % 2),
            TextStyle(size=size, align=0.5, width=2 * cell),
        )
        for column in range(len(names)):
            place = Rect(left + cell * column, top + cell * row, cell, cell)
            _draw_cell(canvas, place, float(fractions[row, column]), correct=row == column)
    canvas.frame(Rect(left, top, side, side), LINE, 2)
    summary = f"accuracy {evaluation.accuracy.value:.2%}, {counts.sum():,} pictures"
    canvas.text(summary, left, top + side + size + 12, note)
    return canvas


def _draw_cell(canvas: Canvas, cell: Rect, fraction: float, *, correct: bool) -> None:
    if fraction < _SMALLEST_SHOWN:
        return
    side = round(cell.width)
    colour = _blend(BLUE if correct else RED, fraction if correct else min(1.0, 0.12 + 2.5 * fraction))
    canvas.box(Rect(cell.x, cell.y, side - 1, side - 1), colour)
    if side >= _ROOM_FOR_TEXT:
        style = TextStyle(size=side // 4 + 2, colour=PAPER if sum(colour) < _DARK else INK, align=0.5)
        canvas.text(f"{fraction * 100:.1f}", cell.x + side / 2, cell.y + side / 2 + 8, style)


def _blend(colour: Colour, fraction: float) -> Colour:
    """Return a colour mixed with white."""
    red, green, blue = (round(255 + (channel - 255) * fraction) for channel in colour)
    return red, green, blue


def worst_mistakes(evaluation: Evaluation, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the misclassified images, the most confident mistakes first."""
    wrong = np.flatnonzero(evaluation.predicted != labels)
    confidence = evaluation.probabilities[wrong, evaluation.predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")]


@dataclass(frozen=True, kw_only=True)
class _Example:
    """A classified test image.

    Attributes:
        names: class names.
        probabilities: (classes,) float32.
        predicted: index of the predicted class.
        true: index of the true class.
    """

    names: Sequence[str]
    probabilities: NDArray[np.float32]
    predicted: int
    true: int

    @property
    def colour(self) -> Colour:
        """Blue for a correct prediction, red for a wrong one."""
        return BLUE if self.predicted == self.true else RED

    @property
    def caption(self) -> str:
        """Predicted class with its probability in percent."""
        return f"{self.names[self.predicted]} {self.probabilities[self.predicted]:.0%}"

    def bar_colour(self, index: int) -> Colour:
        """Return the colour of a class's bar, grey unless it is the predicted or the true class."""
        if index == self.predicted:
            return self.colour
        return BLUE if index == self.true else QUIET


def predictions(
    evaluation: Evaluation, split: Split, indices: Sequence[int], title: str, columns: int = 3
) -> Canvas:
    """Draw images with predicted class, confidence and true class, blue when correct and red when wrong.

    Bars beside each image show its ten most probable classes, in the order of the classes.
    """
    side, bars_width, gap = 224, 250, 40
    wide, tall = side + 16 + bars_width, side + 64
    rows = max(1, -(-len(indices) // columns))
    canvas = Canvas(2 * _MARGIN + columns * (wide + gap) - gap, _TITLE + 16 + rows * (tall + gap))
    canvas.text(title, _MARGIN, 52, _HEADING)
    for position, index in enumerate(indices):
        left = _MARGIN + position % columns * (wide + gap)
        top = _TITLE + 16 + position // columns * (tall + gap)
        example = _Example(
            names=evaluation.class_names,
            probabilities=evaluation.probabilities[index],
            predicted=int(evaluation.predicted[index]),
            true=int(split.labels[index]),
        )
        canvas.picture(split.images[index], left, top, side)
        canvas.frame(Rect(left, top, side, side), example.colour)
        answer = TextStyle(size=22, colour=example.colour, weight=BOLD, width=wide)
        canvas.text(example.caption, left, top + side + 28, answer)
        truth = TextStyle(size=20, colour=QUIET, width=wide)
        canvas.text(f"({example.names[example.true]})", left, top + side + 56, truth)
        _draw_bars(canvas, Rect(left + side + 16, top, bars_width, side), example)
    return canvas


def _draw_bars(canvas: Canvas, area: Rect, example: _Example) -> None:
    """Draw the most probable classes of an image with a bar for each."""
    shown = np.sort(np.argsort(-example.probabilities, kind="stable")[:_BARS])
    pitch, name_width = area.height / _BARS, 112
    left, room = area.x + name_width + 10, area.width - name_width - 10
    for row, index in enumerate(shown):
        top = area.y + row * pitch
        colour = example.bar_colour(int(index))
        name = TextStyle(
            size=15,
            colour=colour if index in {example.predicted, example.true} else INK,
            align=1,
            width=name_width,
        )
        canvas.text(example.names[index], area.x + name_width, top + pitch * 0.68, name)
        canvas.box(Rect(left, top + 4, room, pitch - 8), _TRACK)
        length = max(2.0, room * float(example.probabilities[index]))
        canvas.box(Rect(left, top + 4, length, pitch - 8), colour)
