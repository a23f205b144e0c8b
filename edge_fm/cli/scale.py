"""Labelling on a cluster: the command manifest, and what label does with --engine ray."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import terminal

if TYPE_CHECKING:
    from edge_fm_runtime.batch.label import LabelSummary, Model
    from edge_fm_runtime.batch.options import Options
    from edge_fm_runtime.cluster.ray_cluster import Cluster
    from edge_fm_runtime.cluster.ray_engine import Progress

_STDERR = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("manifest")(manifest)


def manifest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="What 'edge-fm label' takes, URLs such as s3://bucket/photos or s3://bucket/shards/*.tar, and lists of "
            "inputs as .txt or .parquet.",
            metavar="INPUT...",
            show_default=False,
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="The .parquet file to write, or the URL of one.")
    ] = "list.parquet",
) -> None:
    """List inputs once: one sorted Parquet file that 'edge-fm label --engine ray' reads by ranges.

    A path named twice is listed once. Tar archives are listed with the place of every member, so that nobody has to
    read through them again.

    Example: edge-fm manifest s3://bucket/photos -o list.parquet

    Example: edge-fm label list.parquet -o s3://bucket/labels --engine ray --address 10.0.0.1:6379
    """
    from edge_fm_runtime.cluster import manifest as lists
    from edge_fm_runtime.errors import OutputError

    if not lists.is_parquet(out):
        raise OutputError(f"{out} does not end in .parquet: a list of inputs is written as Parquet")
    with terminal.progress("listing") as bar:
        made, doubled = lists.write(inputs, out, lambda what, done: bar(done, done, what))
    terminal.say(
        f"{out}: {made.rows:,} inputs" + (f"; {doubled:,} were named more than once" if doubled else "")
    )


def label_on(
    cluster: "Cluster", model: "Model", inputs: Sequence[str], out: str, options: "Options"
) -> "LabelSummary":
    """Label on a Ray cluster, with progress."""
    from edge_fm_runtime.cluster import ray_engine
    from edge_fm_runtime.errors import OutputError

    if out.endswith((".csv", ".jsonl", ".parquet")) or out == "-":
        raise OutputError(
            f"with --engine ray the output is a folder of Parquet parts, or the URL of one, not {out!r}: give -o labels; "
            "'edge-fm merge labels -o labels.csv' makes one file of it"
        )
    with _native_output_hushed(), terminal.progress("labelling") as bar:

        def show(progress: "Progress") -> None:
            counts = "  ".join(f"{count:,} {status}" for status, count in sorted(progress.made.items()))
            done, all_shards = progress.shards
            bar(*progress.inputs, f"{done:,} of {all_shards:,} shards  {counts}")

        listener = ray_engine.Listener(lambda what, done: bar(done, done, what), show, terminal.note)
        run = ray_engine.ClusterRun(
            model=model, inputs=tuple(inputs), out=out, options=options, cluster=cluster
        )
        return ray_engine.label(run, listener)


@contextlib.contextmanager
def _native_output_hushed() -> Iterator[None]:
    """Keep what Ray's C++ prints, which is in its log files too, off the terminal; Python's own output stays."""
    try:
        is_own = sys.stderr.fileno() == _STDERR
    except (OSError, AttributeError):
        is_own = False
    if not is_own:
        yield
        return
    before, kept, nowhere = sys.stderr, os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    before.flush()
    os.dup2(nowhere, _STDERR)
    sys.stderr = os.fdopen(
        kept, "w", buffering=1, encoding=before.encoding, errors=before.errors, closefd=False
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(nowhere)
