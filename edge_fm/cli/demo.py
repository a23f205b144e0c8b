"""The command that shows the main job on bundled samples: demo."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel=options.MACHINE)(demo)


def demo(
    out: Annotated[Path, options.out_option("The folder to write into.")] = Path("edge-fm-demo"),
) -> None:
    """Export, verify, label and play a video, all on bundled samples.

    Needs no network and less than a minute. Exit code 1 if fewer than 80 % of the images get the right
    label, or golden inputs differ.

    Example: edge-fm demo
    """
    from edge_fm.demo.run import run

    result = run(out, terminal.print_line)
    sheet = out / "contact-sheet.png"
    terminal.print_line(f"{result.right} of {result.pictures} drawn garments right; see {sheet}")
    if not result.good:
        terminal.print_note("fewer than 80 % are right, or golden inputs differ: run 'edge-fm doctor'")
        raise typer.Exit(terminal.BAD_RESULT)
