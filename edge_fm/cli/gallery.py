"""The command that makes a page of labelled images: gallery."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gallery", rich_help_panel=options.USE)(gallery)


def gallery(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="Output of 'edge-fm label', with all fields.", show_default=False
        ),
    ],
    out: Annotated[Path, options.out_option("The .html file to write.")] = Path("gallery.html"),
) -> None:
    """Write an HTML page of labelled images by label and confidence.

    The page opens from disk, without a network.

    Example: edge-fm gallery labels.csv -o gallery.html
    """
    from edge_fm_runtime.batch.gallery import write

    with terminal.progress("drawing") as bar:
        images = write(table, out, bar)
    terminal.print_line(f"{out}: {images:,} images; open it in a browser")
