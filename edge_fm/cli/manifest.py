"""The command that lists inputs for a cluster: manifest."""

from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("manifest", rich_help_panel=options.USE)(manifest)


def manifest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Inputs of 'edge-fm label', URLs such as s3://bucket/photos or s3://bucket/shards/*.tar, "
            "and .txt or .parquet lists of inputs.",
            show_default=False,
        ),
    ],
    out: Annotated[str, options.out_option("The .parquet file to write, or its URL.")] = "list.parquet",
) -> None:
    """List inputs in one Parquet file for 'label --engine ray'.

    The list is sorted, and an input that is named twice is listed once. For tar archives it has the offset
    of each member, so that no archive is read through again.

    Example: edge-fm manifest s3://bucket/photos -o list.parquet
    Example: edge-fm label list.parquet -o s3://bucket/labels --engine ray
    """
    from edge_fm_runtime.cluster import manifest as lists
    from edge_fm_runtime.errors import OutputError

    if not lists.is_parquet(out):
        raise OutputError(f"{out} does not end in .parquet: a list of inputs is written as Parquet")
    with terminal.progress("listing") as bar:
        made, duplicates = lists.write(inputs, out, lambda step, done: bar(done, done, step))
    repeated = f"; {duplicates:,} were named more than once" if duplicates else ""
    terminal.print_line(f"{out}: {made.rows:,} inputs{repeated}")
