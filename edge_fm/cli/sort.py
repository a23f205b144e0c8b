"""The command that sorts labelled files into folders: sort."""

import shlex
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm_runtime.batch.sort import Placement


class SortMethod(StrEnum):
    """Method by which a file gets into its folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sort", rich_help_panel=options.USE)(sort)


def sort(
    into: Annotated[
        Path,
        typer.Option(
            "--into", metavar="FOLDER", help="Folder to make the labels' folders in.", show_default=False
        ),
    ],
    table: Annotated[
        Path | None,
        typer.Argument(metavar="LABELS", help="Output of 'edge-fm label'.", show_default=False),
    ] = None,
    method: Annotated[
        SortMethod, typer.Option("--by", help="Copy the files, link to them (symbolic links), or move them.")
    ] = SortMethod.COPY,
    review_below: Annotated[
        float,
        typer.Option(
            metavar="CONFIDENCE",
            min=0,
            max=1,
            callback=options.finite,
            help="Sort less confident files into _review.",
        ),
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print each step without doing it.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Undo everything that was sorted into the folder.")
    ] = False,
) -> None:
    """Sort labelled files into one folder per label.

    Files with the status unknown go to _unknown. Nothing is overwritten: a file whose name is taken gets a
    number. What was copied or linked before is not done again.

    Example: edge-fm sort labels.csv --into sorted --by move
    Example: edge-fm sort --undo --into sorted
    """
    from edge_fm_runtime.batch import sort as sorting
    from edge_fm_runtime.batch.inputs.locators import text
    from edge_fm_runtime.errors import SourceError

    if undo:
        _undo(into)
        return
    if table is None:
        raise SourceError("no labels were given: edge-fm sort labels.csv --into FOLDER")
    plan = sorting.plan(table, into, sorting.Way(method), review_below)
    if dry_run:
        for placement in plan.placements:
            source, target = (text(str(path)) for path in (placement.source, placement.target))
            terminal.print_line(f"{method} {source} -> {target}")
        outcome = "would be sorted"
    else:
        with terminal.progress("sorting") as bar:
            sorting.carry_out(plan.placements, into, sorting.Way(method), bar)
        outcome = f"sorted by {method}; undo: edge-fm sort --undo --into {shlex.quote(str(into))}"
    _print_counts(plan.placements)
    terminal.print_line(f"{len(plan.placements):,} files {outcome}")
    if plan.done:
        terminal.print_line(f"{plan.done:,} files were sorted before")
    if plan.skipped:
        terminal.print_line(f"{plan.skipped:,} rows without a label or a file were skipped")


def _undo(into: Path) -> None:
    """Undo a sort; exit with code 1 if files were kept or the journal has torn lines."""
    from edge_fm_runtime.batch.sort_undo import JOURNAL, undo

    result = undo(into)
    terminal.print_line(f"undone: {result.undone:,} files in {into}")
    for path, reason in result.kept:
        terminal.print_note(f"kept {path}: {reason}")
    if result.torn:
        terminal.print_note(
            f"{result.torn:,} line{'s' if result.torn > 1 else ''} of {into / JOURNAL} incomplete: "
            "look there for files that were left as they are, then delete it"
        )
    if result.kept or result.torn:
        raise typer.Exit(terminal.BAD_RESULT)


def _print_counts(placements: "Sequence[Placement]") -> None:
    counts = Counter(placement.target.parent.name for placement in placements)
    rows = [[name, f"{count:,}"] for name, count in sorted(counts.items())]
    terminal.print_table(["folder", "files "], rows)
