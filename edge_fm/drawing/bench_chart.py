"""Draw measured models as a bubble chart: accuracy against latency, area for the file size."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_fm.drawing.canvas import BLUE, BOLD, LINE, QUIET, RED, Canvas, Rect, TextStyle, text_width
from edge_fm_runtime.machine.bench import Measurement

_WIDTH, _HEIGHT = 1200, 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 130, 60, 110, 110
_LARGEST = 46
"""Radius of the largest file's disc in pixels."""

_NOTE = TextStyle(size=18, colour=QUIET)
_CENTRED = TextStyle(size=18, colour=QUIET, align=0.5)


def draw(measured: Sequence[Measurement], accuracies: Mapping[str, float], title: str) -> Canvas:
    """Draw a disc for each model: blue for int8, red for float32; latency is on a logarithmic axis.

    Args:
        measured: measurement of each model.
        accuracies: accuracy in [0, 1], by model.
        title: title of the chart.
    """
    canvas = Canvas(_WIDTH, _HEIGHT)
    canvas.text(title, 40, 52, TextStyle(size=28, weight=BOLD, width=_WIDTH - 80))
    canvas.text("area: size of the file   blue: int8   red: fp32", 40, 84, _NOTE)
    latencies = np.log([found.p50_us for found in measured])
    heights = np.array([accuracies[found.model] for found in measured])
    low_x, high_x = latencies.min() - 0.25, latencies.max() + 0.25
    margin = max(0.005, 0.15 * float(np.ptp(heights)))
    low_y, high_y = max(0.0, heights.min() - margin), min(1.0, heights.max() + margin)

    def place(latency_log: float, accuracy: float) -> tuple[float, float]:
        across = (latency_log - low_x) / (high_x - low_x)
        up = (accuracy - low_y) / (high_y - low_y)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    for accuracy in np.linspace(low_y, high_y, 6):
        _, y = place(low_x, float(accuracy))
        canvas.box(Rect(_LEFT, y, _WIDTH - _LEFT - _RIGHT, 1), LINE)
        canvas.text(f"{accuracy:.1%}", _LEFT - 12, y + 7, TextStyle(size=18, colour=QUIET, align=1))
    for latency in np.exp(np.linspace(low_x, high_x, 6)):
        x, _ = place(float(np.log(latency)), low_y)
        canvas.box(Rect(x, _HEIGHT - _BOTTOM, 1, 8), QUIET)
        canvas.text(f"{latency:,.0f} us", x, _HEIGHT - _BOTTOM + 34, _CENTRED)
    canvas.text("one picture, median", _WIDTH / 2, _HEIGHT - 30, _CENTRED)
    names = _short([found.model for found in measured])
    largest = max(found.size_bytes for found in measured)
    by_size = sorted(zip(measured, latencies, heights, strict=True), key=lambda entry: -entry[0].size_bytes)
    for found, latency_log, accuracy in by_size:
        x, y = place(float(latency_log), float(accuracy))
        radius = max(6.0, _LARGEST * float(np.sqrt(found.size_bytes / largest)))
        canvas.disc(x, y, radius, BLUE if found.precision == "int8" else RED, 0.55)
        name = names[found.model]
        inside = x + radius + 8 + text_width(name, 18) < _WIDTH - 8
        style = TextStyle(size=18, align=0 if inside else 1)
        canvas.text(name, x + radius + 8 if inside else x - radius - 8, y + 6, style)
    return canvas


def _short(models: Sequence[str]) -> dict[str, str]:
    """Return the file name by model, with its folder where two names are equal."""
    last = [Path(model).name for model in models]
    return {
        model: name if last.count(name) == 1 else "/".join(Path(model).parts[-2:])
        for model, name in zip(models, last, strict=True)
    }
