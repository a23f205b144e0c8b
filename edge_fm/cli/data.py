"""The command that shows a data set: data."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("data", rich_help_panel=options.MAKE)(data)


def data(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="fashion-mnist, mnist, wardrobe, a folder with one sub-folder per class, or an .npz file.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, options.out_option("The .png file to write samples to.", "NAME-samples.png")
    ] = None,
) -> None:
    """Show a data set: image counts per class, and a strip of samples.

    Example: edge-fm data wardrobe
    """
    from edge_fm import datasets
    from edge_fm.drawing import contact_sheet
    from edge_fm.evaluation import checks

    dataset = datasets.load(name)
    counts = zip(dataset.class_names, dataset.class_counts, strict=True)
    rows = [[class_name, f"{train:,}", f"{test:,}"] for class_name, (train, test) in counts]
    rows.append(["all", f"{len(dataset.train):,}", f"{len(dataset.test):,}"])
    shape = " x ".join(map(str, dataset.spec.shape))
    terminal.print_table(["class", "train ", "test "], rows, f"{dataset.name}: {shape} uint8")
    terminal.print_line(f"licence: {dataset.licence}")
    terminal.print_folder_notes(dataset)
    terminal.print_findings(checks.check_duplicates(dataset))
    path = out or Path(f"{dataset.name}-samples.png")
    contact_sheet.write_strip(path, dataset)
    terminal.print_line(f"samples: {path}")
