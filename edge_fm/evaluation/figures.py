"""The pictures of an evaluation: samples, confusion matrix, and what was answered, the worst mistakes first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split
from edge_fm.drawing.canvas import BLUE, BOLD, INK, LINE, PAPER, QUIET, RED, Canvas, Colour, text_width
from edge_fm.evaluation.metrics import Evaluation

_MARGIN = 32
_TITLE = 64
_BARS = 10
_SHOWN_SHARE = 0.0005
"""What is less rounds to 0.0 %."""

_ROOM_FOR_TEXT = 44
_DARK = 420
"""Sum of red, green and blue below which letters are white."""


def samples(split: Split, class_names: Sequence[str], title: str, count: int = 25, seed: int = 0) -> Canvas:
    """Draw pictures with their names, five in a row."""
    columns, side, gap, caption = 5, 168, 24, 36
    chosen = split.sample(count, seed)
    rows = -(-len(chosen) // columns)
    width = 2 * _MARGIN + columns * (side + gap) - gap
    canvas = Canvas(width, _TITLE + _MARGIN + rows * (side + caption + gap))
    canvas.text(title, _MARGIN, 52, 28, weight=BOLD, width=width - 2 * _MARGIN)
    for index, (image, label) in enumerate(zip(chosen.images, chosen.labels, strict=True)):
        left = _MARGIN + index % columns * (side + gap)
        top = _TITLE + 16 + index // columns * (side + caption + gap)
        canvas.picture(image, left, top, side)
        canvas.frame(left, top, side, side, LINE, 1)
        canvas.text(class_names[label], left + side / 2, top + side + 26, 20, align=0.5, width=side + gap - 4)
    return canvas


def confusion(evaluation: Evaluation) -> Canvas:
    """Draw how often each true class was called what, in percent of the true class."""
    names, counts = evaluation.class_names, evaluation.confusion
    cell = 84 if len(names) <= 12 else 44 if len(names) <= 40 else 20  # noqa: PLR2004
    size = 20 if cell >= _ROOM_FOR_TEXT else 12
    left = _MARGIN + max(text_width(name, size) for name in names) + 44
    top = _TITLE + 44 + size + 12
    side = cell * len(names)
    canvas = Canvas(max(left + side + _MARGIN + 40, 640), top + side + _MARGIN + size + 16)
    canvas.text(f"{evaluation.model} on {evaluation.data} (test)", _MARGIN, 44, 28, weight=BOLD)
    canvas.text("rows: what it is, columns: what it was called, in % of the row", _MARGIN, 76, 18, QUIET)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, name in enumerate(names):
        middle = top + cell * (row + 0.5)
        canvas.text(name, left - 12, middle + size * 0.35, size, align=1)
        canvas.text(
            name,
            left + cell * (row + 0.5),
            top - 12 - size * 1.2 * (row % 2),
            size,
            align=0.5,
            width=2 * cell,
        )
        for column in range(len(names)):
            _cell(
                canvas,
                left + cell * column,
                top + cell * row,
                cell,
                float(shares[row, column]),
                row == column,
            )
    canvas.frame(left, top, side, side, LINE, 2)
    canvas.text(
        f"accuracy {evaluation.accuracy.value:.2%}, {counts.sum():,} pictures",
        left,
        top + side + size + 12,
        18,
        QUIET,
    )
    return canvas


def _cell(canvas: Canvas, x: float, y: float, side: int, share: float, right: bool) -> None:
    if share < _SHOWN_SHARE:
        return
    colour = _blend(BLUE if right else RED, share if right else min(1.0, 0.12 + 2.5 * share))
    canvas.box(x, y, side - 1, side - 1, colour)
    if side >= _ROOM_FOR_TEXT:
        ink = PAPER if sum(colour) < _DARK else INK
        canvas.text(f"{share * 100:.1f}", x + side / 2, y + side / 2 + 8, side // 4 + 2, ink, align=0.5)


def _blend(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(255 + (channel - 255) * share) for channel in colour)
    return red, green, blue


def worst_mistakes(evaluation: Evaluation, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the wrongly answered pictures, those first that were surest of the wrong class."""
    wrong = np.flatnonzero(evaluation.answers != labels)
    sureness = evaluation.probabilities[wrong, evaluation.answers[wrong]]
    return wrong[np.argsort(-sureness, kind="stable")]


def predictions(
    evaluation: Evaluation, split: Split, indices: Sequence[int], title: str, columns: int = 3
) -> Canvas:
    """Draw pictures with what was answered, percent, and the true name, blue when right and red when wrong.

    Beside each are the bars of its ten likeliest classes, in the order of the classes.
    """
    side, bars, gap = 224, 250, 40
    wide, tall = side + 16 + bars, side + 64
    rows = max(1, -(-len(indices) // columns))
    canvas = Canvas(2 * _MARGIN + columns * (wide + gap) - gap, _TITLE + 16 + rows * (tall + gap))
    canvas.text(title, _MARGIN, 52, 28, weight=BOLD)
    for position, index in enumerate(indices):
        left = _MARGIN + position % columns * (wide + gap)
        top = _TITLE + 16 + position // columns * (tall + gap)
        answer, true = int(evaluation.answers[index]), int(split.labels[index])
        colour = BLUE if answer == true else RED
        names, shares = evaluation.class_names, evaluation.probabilities[index]
        canvas.picture(split.images[index], left, top, side)
        canvas.frame(left, top, side, side, colour)
        said = f"{names[answer]} {shares[answer]:.0%}"
        canvas.text(said, left, top + side + 28, 22, colour, weight=BOLD, width=wide)
        canvas.text(f"({names[true]})", left, top + side + 56, 20, QUIET, width=wide)
        _bars(canvas, left + side + 16, top, bars, side, names, shares, answer, true)
    return canvas


def _bars(
    canvas: Canvas,
    x: float,
    y: float,
    width: int,
    height: int,
    names: Sequence[str],
    shares: NDArray[np.float32],
    answer: int,
    true: int,
) -> None:
    shown = np.sort(np.argsort(-shares, kind="stable")[:_BARS])
    pitch, name_width = height / _BARS, 112
    for row, index in enumerate(shown):
        top = y + row * pitch
        colour = (BLUE if answer == true else RED) if index == answer else BLUE if index == true else QUIET
        ink = colour if index in {answer, true} else INK
        canvas.text(names[index], x + name_width, top + pitch * 0.68, 15, ink, align=1, width=name_width)
        room = width - name_width - 10
        canvas.box(x + name_width + 10, top + 4, room, pitch - 8, (240, 241, 243))
        canvas.box(x + name_width + 10, top + 4, max(2.0, room * float(shares[index])), pitch - 8, colour)
