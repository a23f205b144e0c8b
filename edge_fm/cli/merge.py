"""The command that joins shards: merge."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("merge", rich_help_panel=options.USE)(merge)


def merge(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...",
            help="Files of 'edge-fm label --shard', or the folder or URL of 'edge-fm label --engine ray'.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, options.out_option("The .csv, .jsonl or .parquet file to write.", default=False)],
    spreadsheet_safe: options.SpreadsheetSafe = False,
) -> None:
    """Join shards into one file; refuse missing or duplicate shards.

    Also refused are missing or duplicate rows, and shards of different runs.

    Example: edge-fm merge part-*.csv -o all.csv
    Example: edge-fm merge labels -o all.csv
    """
    from edge_fm_runtime.batch.inputs import remote
    from edge_fm_runtime.batch.outputs.shards import merge as join

    if len(parts) == 1 and (
        Path(parts[0]).is_dir() or (remote.is_url(parts[0]) and not parts[0].endswith(".parquet"))
    ):
        from edge_fm_runtime.cluster.plan import complete_parts

        parts = list(complete_parts(parts[0]))
    rows = join(parts, out, spreadsheet_safe=spreadsheet_safe)
    terminal.print_line(
        f"{out}: {rows:,} rows from {len(parts)} shards; none missing, none duplicate, all of one run"
    )
