"""The command that lists the trainable models: zoo."""

from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm.models.architecture import Architecture, Variant
    from edge_fm.models.measurements import Table
    from edge_fm.training.edge.settings import EdgeSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("zoo", rich_help_panel=options.MAKE)(zoo)


def zoo(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="One model, with its layers, options and settings.", show_default=False
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the trainable models with their accuracy, size and latency.

    Accuracies are measured on the test set: of the model in its framework, of its float32 file and of its
    int8 file. Latencies are microseconds for one image. --json prints every figure.

    Example: edge-fm zoo
    Example: edge-fm zoo cnn
    """
    import json

    from edge_fm.models import measurements
    from edge_fm.models import zoo as models

    table = measurements.load()
    if as_json:
        terminal.print_document(json.dumps(table.raw, indent=2, ensure_ascii=False))
        return
    if name is not None:
        terminal.print_table(["", "value"], _facts(models.find(name), table), name)
        return
    rows = [
        [
            architecture.name,
            architecture.data,
            f"{architecture.parameters:,}",
            *table.cells(architecture.name),
        ]
        for architecture in models.ARCHITECTURES.values()
    ]
    terminal.print_table(["name", "data", "parameters ", *measurements.COLUMNS], rows)
    terminal.print_line(f"{table.description}; accuracies on the test set, microseconds for one image")
    terminal.print_line("next: edge-fm zoo NAME   edge-fm train --help   details: docs/zoo.md")


def _facts(architecture: "Architecture", table: "Table") -> list[list[str]]:
    """Return the (name, value) rows of one model."""
    from edge_fm.models.measurements import COLUMNS

    return [
        ["layers", architecture.summary],
        ["parameters", f"{architecture.parameters:,}"],
        ["made for", architecture.data],
        ["trained with", architecture.framework],
        ["train takes", ", ".join(architecture.train_options)],
        ["--set", _format_settable(architecture)],
        ["epochs", f"{_epochs(architecture)}"],
        *(
            ["published", f"{reference}" + _format_variant(variant)]
            for variant in architecture.variants
            for reference in variant.references
        ),
        *(
            [column.strip(), cell]
            for column, cell in zip(COLUMNS, table.cells(architecture.name), strict=True)
        ),
    ]


def _format_settable(architecture: "Architecture") -> str:
    """Return what `--set` takes, with defaults."""
    from edge_fm.models import edge

    if architecture.name not in edge.WIDTHS:
        return ", ".join(f"{key}={text}" for key, text in architecture.settable.items())
    usual = _edge_settings(architecture)
    return (
        f"batch_size={usual.batch_size}, learning_rate={usual.learning_rate:g}, "
        f"validation={usual.validation_share:.3g}, seed={usual.seed}, init_from=MODEL, "
        "or any key of a recipe, such as mix.views=4 (docs/train.md)"
    )


def _epochs(architecture: "Architecture") -> int:
    from edge_fm.models import edge

    is_edge = architecture.name in edge.WIDTHS
    return _edge_settings(architecture).epochs if is_edge else architecture.settings.epochs


def _edge_settings(architecture: "Architecture") -> "EdgeSettings":
    from edge_fm.training.edge import settings

    return settings.DEFAULTS.get(architecture.name, settings.EdgeSettings())


def _format_variant(variant: "Variant") -> str:
    """Return " with ..." for the settings in which a published training differs from the defaults."""
    changes = ", ".join(f"{key} {value}" for key, value in {**variant.options, **variant.settings}.items())
    return f" with {changes}" if changes else ""
