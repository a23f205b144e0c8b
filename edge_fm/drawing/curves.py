"""Draw the curves of a training with Matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_fm_runtime.batch.outputs.atomic import atomic

Figure = Any
"""A `matplotlib.figure.Figure`; matplotlib ships no types."""

BLUE, RED, GREY = "#1f5fbf", "#c8322b", "#9aa0a6"


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's suffix.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic(path) as partial:
        figure.savefig(partial, dpi=150, format=path.suffix.removeprefix("."))


def curves(history: Sequence[dict[str, float]], kept_epoch: int) -> Figure:
    """Draw training and validation metrics over the epochs, with the selected epoch marked."""
    from matplotlib.figure import Figure

    names = [name for name in history[0] if "_" not in name]
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    epochs = range(1, len(history) + 1)
    marker = "o" if len(history) <= 60 else None  # noqa: PLR2004  # more markers would overlap
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key in (key for key in history[0] if key.rpartition("_")[2] == name):
            part = key.rpartition("_")[0] or "training"
            colour = BLUE if part == "training" else RED
            values = [figures[key] for figures in history]
            axes.plot(epochs, values, color=colour, marker=marker, markersize=3, linewidth=1.5, label=part)
        if kept_epoch < len(history):
            axes.axvline(kept_epoch, color=GREY, linestyle=":", label=f"kept: epoch {kept_epoch}")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
    return figure
