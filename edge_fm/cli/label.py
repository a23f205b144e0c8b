"""The command that labels images: label."""

import signal
import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal
from edge_fm.cli.class_names import read_labels

if TYPE_CHECKING:
    from edge_fm_runtime.batch.label import LabelSummary, Model
    from edge_fm_runtime.batch.options import Options
    from edge_fm_runtime.status import Status

_INTERRUPTED = 130
_MAX_WORKERS = 256
_STDOUT = "-"
_LIMITS, _CLUSTER = "Limits", "Cluster"


class Engine(StrEnum):
    """Labelling engine: processes on this machine, or a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label", rich_help_panel=options.USE)(label)


def label(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders, .zip and .tar archives, 'patterns*', URLs such as s3://bucket/photos, "
            "@list.txt, or - for paths on standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        options.out_option(
            "A .csv, .jsonl or .parquet file, or - for JSON lines on standard output; with --engine ray a "
            "folder or its URL."
        ),
    ] = "labels.csv",
    model: options.Model = "fashion",
    top: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Number of labels in each row.")] = 1,
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields", metavar="A,B,...", help="Columns to write, such as path,label.", show_default="all"
        ),
    ] = None,
    spreadsheet_safe: options.SpreadsheetSafe = False,
    labels: options.Labels = None,
    lang: options.Language = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts by status and label.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of resuming an interrupted run.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep labelling new files once they are fully written.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="INDEX/COUNT",
            help="Label one part of the inputs, such as 3/16; 'edge-fm merge' joins the parts.",
            show_default="all inputs",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=10_000,
            help="Number of worker processes.",
            show_default="one per available core, or all of the cluster",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=86_400,
            callback=options.finite,
            help="Time limit for one file, which is tried twice.",
            rich_help_panel=_LIMITS,
        ),
    ] = 4.0,
    memory: Annotated[
        int,
        typer.Option(
            metavar="MIB",
            min=64,
            max=2**20,
            help="Memory limit for the images of one worker, in MiB.",
            rich_help_panel=_LIMITS,
        ),
    ] = 1024,
    max_bytes: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            min=1,
            max=2**40,
            help="Largest file that is read, in bytes.",
            rich_help_panel=_LIMITS,
        ),
    ] = 64 * 2**20,
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            min=1,
            max=2**40,
            help="Largest image that is decoded, in pixels.",
            rich_help_panel=_LIMITS,
        ),
    ] = 2**27,
    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            help="Label with processes on this machine, or on a Ray cluster.",
            rich_help_panel=_CLUSTER,
        ),
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Address of a running Ray cluster, such as 10.0.0.1:6379.",
            show_default="$RAY_ADDRESS, else a new local one",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    shard_size: Annotated[
        int,
        typer.Option(
            "--shard-size",
            metavar="N",
            min=1,
            max=10**9,
            help="Number of inputs in each part.",
            rich_help_panel=_CLUSTER,
        ),
    ] = 10_000,
) -> None:
    """Label images: one row per input; an interrupted run resumes.

    To resume, give the same command again. Inputs are never changed. A folder includes everything below it,
    except names that start with a dot and links to other folders.

    Example: edge-fm label photos/ -o labels.csv
    Example: edge-fm label s3://bucket/photos -o labels --engine ray
    """
    from edge_fm_runtime.artifact.model_file import read_model, read_passport
    from edge_fm_runtime.batch.label import Model
    from edge_fm_runtime.batch.options import Options, RowOptions, Shard
    from edge_fm_runtime.image.guard import Limits
    from edge_fm_runtime.posix import usable_cores

    data = read_model(model)
    passport = read_passport(data)
    names = read_labels(labels) if labels is not None else None
    if passport is not None:
        passport.in_language(lang)  # refuses a language without labels before any work
    classes = len(passport.labels) if passport is not None else len(names or ())
    on_ray = engine is Engine.RAY
    local_only = {
        "--shard": shard is not None,
        "--fields": fields is not None,
        "--watch": watch,
        "--spreadsheet-safe": spreadsheet_safe,
    }
    _refuse_combinations([name for name, given in local_only.items() if given], address, workers, on_ray)
    run_options = Options(
        row=RowOptions(max(1, min(top, classes)), Limits(max_bytes, max_pixels)),
        fresh=fresh,
        workers=workers or usable_cores(),
        timeout_s=timeout,
        memory_bytes=memory * 2**20,
        shard=Shard.parse(shard) if shard is not None else None,
        fields=tuple(fields.split(",")) if fields is not None else (),
        spreadsheet_safe=spreadsheet_safe,
    )
    loaded = Model(data, names, lang)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if on_ray:
            from edge_fm.cli.label_cluster import label_on_cluster
            from edge_fm_runtime.cluster.ray_cluster import Cluster

            cluster = Cluster(address, workers, shard_size)
            done = label_on_cluster(cluster, loaded, inputs, out, run_options)
            _print_counts(out, done)
        else:
            done = _label_locally(loaded, inputs, out, run_options, watched_model=model if watch else None)
    except KeyboardInterrupt:
        terminal.print_note("stopped; the same command resumes")
        raise typer.Exit(_INTERRUPTED) from None
    _report(done, summary=summary, on_stderr=out == _STDOUT)


def _refuse_combinations(
    local_only: list[str], address: str | None, workers: int | None, on_ray: bool
) -> None:
    """Refuse options that do not go together.

    Args:
        local_only: given options that only this machine's processes have.
        address: address of a cluster.
        workers: number of processes.
        on_ray: whether a cluster labels.

    Raises:
        OutputError: two options exclude each other.
    """
    from edge_fm_runtime.errors import OutputError

    if on_ray and local_only:
        raise OutputError(
            f"--engine ray does not go with {' and '.join(local_only)}: it makes its own parts, with every "
            "column; leave them out"
        )
    if "--shard" in local_only and len(local_only) > 1:
        raise OutputError(
            "--shard goes with none of --fields, --watch and --spreadsheet-safe, as a part has every column "
            "as it is, and an end: leave one of them out, or give --spreadsheet-safe to edge-fm merge"
        )
    if address is not None and not on_ray:
        raise OutputError("--address names a Ray cluster: add --engine ray")
    if workers is not None and workers > _MAX_WORKERS and not on_ray:
        raise OutputError(f"--workers {workers}: one machine has at most {_MAX_WORKERS}")


def _label_locally(
    model: "Model", inputs: Sequence[str], out: str, run_options: "Options", *, watched_model: str | None
) -> "LabelSummary":
    """Label with processes on this machine; with a watched model's name, until interrupted."""
    from edge_fm_runtime.batch import label as batch
    from edge_fm_runtime.errors import OutputError

    if out == _STDOUT:
        if watched_model is not None:
            raise OutputError("--watch needs a file to update, not -: give -o labels.csv")
        if run_options.spreadsheet_safe:
            raise OutputError("--spreadsheet-safe is for .csv files, not -: give -o labels.csv")
        if sys.stdout is None:
            raise OutputError("standard output is closed: open it, or give -o labels.csv")
        return batch.stream(model, inputs, run_options, terminal.print_line)
    with terminal.progress("labelling") as bar:
        if watched_model is not None:
            _watch(watched_model, model, inputs, out, run_options, bar)
        done = batch.label(model, inputs, Path(out), run_options, lambda *counts: _show(bar, *counts))
    _print_counts(out, done)
    return done


def _watch(
    name: str,
    model: "Model",
    inputs: Sequence[str],
    out: str,
    run_options: "Options",
    bar: terminal.Bar,
) -> None:
    """Label files as they arrive, reloading the model when its file is replaced; ends by an interrupt."""
    from edge_fm_runtime.batch.watch import WatchHooks, watch
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.hot_reload import HotReloader
    from edge_fm_runtime.live.sd_notify import SdNotifier

    terminal.print_note("watching; Ctrl-C ends")
    classifier = Classifier.from_bytes(model.data, model.labels, model.language)
    reloader = HotReloader(name, classifier, terminal.print_note, model.labels, model.language)
    notifier = SdNotifier()

    def keep_alive() -> None:
        notifier.wait("watching")

    def show(done: int, total: int, made: "Counter[Status]") -> None:
        keep_alive()
        _show(bar, done, total, made)

    watch(
        model,
        inputs,
        Path(out),
        run_options,
        WatchHooks(
            listener=show,
            report=lambda done: _print_counts(out, done),
            reloader=reloader,
            alive=keep_alive,
        ),
    )


def _show(bar: terminal.Bar, done: int, total: int, made: "Counter[Status]") -> None:
    bar(done, total, "  ".join(f"{count:,} {status}" for status, count in sorted(made.items())))


def _print_counts(out: str, done: "LabelSummary") -> None:
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(done.by_status.items()))
    resumed = f" ({done.resumed:,} were done before)" if done.resumed else ""
    terminal.print_line(f"{out}: {done.rows:,} rows: {counts}{resumed}")


def _report(done: "LabelSummary", *, summary: bool, on_stderr: bool) -> None:
    """Print what a user should know after a run; exit with code 1 if images could not be labelled."""
    if done.note:
        terminal.print_note(done.note)
    if summary:
        _print_summary(done, on_stderr=on_stderr)
    if done.bad:
        terminal.print_note(f"{done.bad:,} inputs have no label: see the columns status and error")
        raise typer.Exit(terminal.BAD_RESULT)


def _print_summary(done: "LabelSummary", *, on_stderr: bool) -> None:
    rows = [["status", status, f"{count:,}"] for status, count in sorted(done.by_status.items())]
    rows += [
        ["label", name, f"{count:,}"]
        for name, count in sorted(done.by_label.items(), key=lambda item: -item[1])
    ]
    if on_stderr:
        for row in rows:
            terminal.print_note("  ".join(row))
    else:
        terminal.print_table(["column", "value", "rows "], rows)


def _interrupt(_number: int, _frame: object) -> None:
    """End on SIGTERM as on Ctrl-C: the journal is complete at any point."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.is_finalizing():
        return
    raise KeyboardInterrupt
