"""Commands about what was labelled: merge, sort, gallery."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal

Table = Annotated[
    Path,
    typer.Argument(help="What 'edge-fm label' wrote, with all fields.", metavar="LABELS", show_default=False),
]


class WayName(StrEnum):
    """How a file gets into its folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("merge")(merge)
    app.command("sort")(sort)
    app.command("gallery")(gallery)


def merge(
    parts: Annotated[
        list[str],
        typer.Argument(
            help="What 'edge-fm label --shard' wrote; or the folder, or its URL, that 'edge-fm label --engine ray' wrote.",
            metavar="PART...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)],
) -> None:
    """Join shards, and prove that no shard and no row is missing, doubled or from another run.

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
    rows = join(parts, out)
    terminal.say(f"{out}: {rows:,} rows from {len(parts)} shards; none missing, none doubled, all of one run")


def sort(
    table: Annotated[
        Path | None, typer.Argument(help="What 'edge-fm label' wrote.", metavar="LABELS", show_default=False)
    ] = None,
    into: Annotated[
        Path, typer.Option("--into", help="Where the folders of labels go.", show_default=False)
    ] = ...,  # type: ignore[assignment]
    way: Annotated[
        WayName, typer.Option("--by", help="Copy, link (symbolic) or move the files.")
    ] = WayName.COPY,
    review_below: Annotated[
        float, typer.Option(min=0, max=1, help="Answers less sure than this go to _review.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back all that was sorted into the folder.")
    ] = False,
) -> None:
    """Sort labelled files into one folder for each label; unknown ones into _unknown.

    Nothing is overwritten: a name that is taken gets a number. --undo takes everything back.

    Example: edge-fm sort labels.csv --into sorted --by move
    """
    from edge_fm_runtime.batch import sort as sorting
    from edge_fm_runtime.errors import SourceError

    if undo:
        _undo(into)
        return
    if table is None:
        raise SourceError("no labels were given: edge-fm sort labels.csv --into DIR")
    placements, left_out = sorting.plan(table, into, review_below)
    counts = Counter(placement.target.parent.name for placement in placements)
    if dry_run:
        for placement in placements:
            terminal.say(f"{way} {placement.source} -> {placement.target}")
    else:
        with terminal.progress("sorting") as bar:
            sorting.carry_out(placements, into, sorting.Way(way), bar)
    terminal.table(["folder", "files "], [[name, f"{count:,}"] for name, count in sorted(counts.items())])
    what = (
        "would be placed"
        if dry_run
        else f"placed by {way}; 'edge-fm sort --undo --into {into}' takes it back"
    )
    terminal.say(f"{len(placements):,} files {what}; {left_out:,} rows without an answer or a file")


def _undo(into: Path) -> None:
    from edge_fm_runtime.batch.sort_undo import undo

    result = undo(into)
    terminal.say(f"{result.undone:,} files taken back from {into}")
    for path, reason in result.kept:
        terminal.note(f"kept {path}: {reason}")
    if result.torn:
        terminal.note(
            f"{result.torn:,} lines of the undo journal are torn; the files that they name were left alone"
        )
    if result.kept or result.torn:
        raise typer.Exit(terminal.BAD_ANSWER)


def gallery(
    table: Table,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .html file to write.")] = Path("gallery.html"),
) -> None:
    """Write one page with all labelled pictures, by label and confidence; it opens from disk, offline.

    Example: edge-fm gallery labels.csv -o gallery.html
    """
    from edge_fm_runtime.batch.gallery import write

    with terminal.progress("drawing") as bar:
        pictures = write(table, out, bar)
    terminal.say(f"{out}: {pictures:,} pictures; open it in a browser")
