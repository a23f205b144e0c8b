"""Commands about what can be trained and on what: data, zoo."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import terminal

if TYPE_CHECKING:
    from edge_fm.models.architecture import Architecture, Variant
    from edge_fm.models.measurements import Table

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

    from edge_fm import datasets
    from edge_fm.drawing import contact_sheet

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
    name: Annotated[
        str | None, typer.Argument(help="Show one model: layers, options, settings.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was measured, as JSON.")
    ] = False,
) -> None:
    """List the models that can be trained by name, with what was measured of each.

    Accuracies are on the test set: of the model in its framework, of its float32 file and of its int8 file.

    Example: edge-fm zoo

    Example: edge-fm zoo cnn
    """
    import json

    from edge_fm.models import measurements, zoo

    table = measurements.load()
    if as_json:
        terminal.say(json.dumps(table.raw, indent=2, ensure_ascii=False))
        return
    if name is not None:
        terminal.table(["", "says"], _facts(zoo.find(name), table), name)
        return
    rows = [
        [
            architecture.name,
            architecture.data,
            f"{architecture.parameters:,}",
            *table.cells(architecture.name),
        ]
        for architecture in zoo.ARCHITECTURES.values()
    ]
    terminal.table(["name", "data", "parameters ", *measurements.COLUMNS], rows)
    terminal.say(f"{table.description}; accuracies on the test set, microseconds for one picture")
    terminal.say("one of them: edge-fm zoo NAME   train it: edge-fm train NAME -o RUN   details: docs/zoo.md")


def _facts(architecture: "Architecture", table: "Table") -> list[list[str]]:
    from edge_fm.models.measurements import COLUMNS

    settings = _settings(architecture)
    return [
        ["layers", architecture.summary],
        ["parameters", f"{architecture.parameters:,}"],
        ["made for", architecture.data],
        ["trained with", architecture.framework],
        ["--set", ", ".join(f"{key}={value:g}" for key, value in architecture.options.items()) or "nothing"],
        ["settings", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())],
        *(
            ["a source shows", f"{reference}" + (f" with {_said(variant)}" if _said(variant) else "")]
            for variant in architecture.variants
            for reference in variant.references
        ),
        *(
            [column.strip(), cell]
            for column, cell in zip(COLUMNS, table.cells(architecture.name), strict=True)
        ),
    ]


def _settings(architecture: "Architecture") -> dict[str, object]:
    """Return what a training may be told besides `--set`, as it is where it is not."""
    from edge_fm.models import edge
    from edge_fm.training.edge import settings as settings_module

    if architecture.name not in edge.WIDTHS:
        return asdict(architecture.settings)
    usual = settings_module.DEFAULTS.get(architecture.name, settings_module.EdgeSettings())
    return {
        "epochs": usual.epochs,
        "batch_size": usual.batch_size,
        "learning_rate": usual.learning_rate,
        "seed": usual.seed,
    }


def _said(variant: "Variant") -> str:
    return ", ".join(f"{key} {value}" for key, value in {**variant.options, **variant.settings}.items())


def say_unreadable(unreadable: tuple[tuple[str, str], ...]) -> None:
    """Name the files of a data set that were left out, and why."""
    if unreadable:
        terminal.note(f"{len(unreadable)} files were left out:")
        for path, reason in unreadable:
            terminal.note(f"  {path!r}: {reason}")
