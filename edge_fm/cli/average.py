"""The command that takes the mean of several trainings: average."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("average")(average)


def average(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders of one model of the edge family.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to make.", show_default=False)],
) -> None:
    """Make a run of the mean of the weights of several, which went on from one another with 'train --start'.

    Often better than each of them, and no larger; what each gets right of the pictures that were watched is said.

    Example: edge-fm average runs/first runs/second -o runs/mean
    """
    from edge_fm import averaging

    made = averaging.average(folders, out)
    for folder, share in zip(folders, made.singly, strict=True):
        terminal.say(f"{folder}: {share:.4f} of the pictures that were watched")
    terminal.say(f"their mean: {made.watched:.4f}")
    if made.watched < min(made.singly):
        terminal.note(
            "the mean is worse than each of them: take the best one, or average trainings that went on from one another (train --start)"
        )
    terminal.say(f"run folder: {out}   next: edge-fm export {out} --int8 -o {made.run.architecture}.onnx")
