"""Commands about what can be trained and on what: data, zoo."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="fashion-mnist, mnist, wardrobe, a folder with one sub-folder per class, or an .npz file.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("data")(show_data)
    app.command("zoo")(show_zoo)


def show_data(
    data: Annotated[str, typer.Argument(help="Name, folder or .npz file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Where the strip of samples goes.", show_default="NAME-samples.png"),
    ] = None,
) -> None:
    """Show a data set: shapes, pictures per class, and a strip of samples.

    Example: edge-fm data wardrobe
    """
    import numpy as np

    from edge_fm import contact_sheet, datasets

    dataset = datasets.load(data)
    counts = [
        np.bincount(split.labels, minlength=len(dataset.class_names))
        for split in (dataset.train, dataset.test)
    ]
    rows = [[name, f"{counts[0][i]:,}", f"{counts[1][i]:,}"] for i, name in enumerate(dataset.class_names)]
    rows.append(["all", f"{len(dataset.train):,}", f"{len(dataset.test):,}"])
    height, width, channels = dataset.spec.shape
    terminal.table(
        ["class", "train ", "test "], rows, f"{dataset.name}: {height} x {width} x {channels} uint8"
    )
    terminal.say(f"licence: {dataset.licence}")
    say_unreadable(dataset.unreadable)
    path = out or Path(f"{dataset.name}-samples.png")
    contact_sheet.write_strip(path, dataset)
    terminal.say(f"samples: {path}")


def show_zoo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was measured, as JSON.")
    ] = False,
) -> None:
    """List the models that can be trained by name, with what was measured of each.

    Accuracies are on the test set: of the model in its framework, of its float32 file and of its int8 file.

    Example: edge-fm zoo
    """
    import json

    from edge_fm import measurements, zoo

    table = measurements.load()
    if as_json:
        terminal.say(json.dumps(table.raw, indent=2, ensure_ascii=False))
        return
    rows = [
        [
            architecture.name,
            architecture.data,
            f"{architecture.parameters:,}",
            *table.cells(architecture.name),
            architecture.summary,
        ]
        for architecture in zoo.ARCHITECTURES.values()
    ]
    terminal.table(["name", "data", "parameters ", *measurements.COLUMNS, "layers"], rows)
    terminal.say(f"{table.said}; accuracies on the test set, microseconds for one picture")
    terminal.say("train one: edge-fm train NAME --data DATA -o RUN   details: docs/zoo.md")


def say_unreadable(unreadable: tuple[tuple[str, str], ...]) -> None:
    """Name the files of a data set that were left out, and why."""
    if unreadable:
        terminal.note(f"{len(unreadable)} files were left out:")
        for path, reason in unreadable:
            terminal.note(f"  {path!r}: {reason}")
