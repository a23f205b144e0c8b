"""The command that labels pictures: label."""

import signal
import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import scale, terminal
from edge_fm.cli.names import Language, read_labels

if TYPE_CHECKING:
    from edge_fm_runtime.batch.label import LabelSummary, Model
    from edge_fm_runtime.batch.options import Options
    from edge_fm_runtime.status import Status

_INTERRUPTED = 130
_MOST_WORKERS = 256
_STDOUT = "-"


class Engine(StrEnum):
    """What drives the labelling."""

    LOCAL = "local"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label")(label)


def label(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders (with all below them), .zip and .tar archives, 'patterns*', URLs such as s3://bucket/photos, "
            "@list.txt, or - for names on standard input.",
            metavar="INPUT...",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="A .csv, .jsonl or .parquet file, or - for JSON lines as they are done; with --engine ray a folder or its URL.",
        ),
    ] = "labels.csv",
    model: Annotated[
        str, typer.Option("--model", help="A bundled model's name or an .onnx file.")
    ] = "fashion",
    top: Annotated[int, typer.Option(min=1, max=100, help="How many labels each row keeps.")] = 1,
    fields: Annotated[
        str | None, typer.Option("--fields", help="Columns to write, such as path,label.", show_default="all")
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts by label and status.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier run has done.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep labelling what arrives, once it is fully written.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="Do one part of the inputs, such as 3/16; 'edge-fm merge' joins them."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Processes.",
            show_default="the cores this process may use, or all of the cluster",
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="This machine's processes, or a Ray cluster.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Of a running Ray cluster, such as 10.0.0.1:6379.",
            show_default="$RAY_ADDRESS, else one that is started here",
        ),
    ] = None,
    shard_size: Annotated[
        int, typer.Option("--shard-size", min=1, help="Inputs of a part, with --engine ray.")
    ] = 10_000,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one file may take; it is tried twice.")
    ] = 4.0,
    memory: Annotated[int, typer.Option(min=64, help="MiB that a worker may take for pictures.")] = 1024,
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest file that is read, in bytes.")] = 64 * 2**20,
    max_pixels: Annotated[int, typer.Option(min=1, help="Largest picture that is decoded, in pixels.")] = 2
    ** 27,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="A,B,... or a file: for a model without a passport.", show_default=False
        ),
    ] = None,
    lang: Language = None,
) -> None:
    """Label pictures: one row for each input, whatever it is.

    Stopped at any point, the same command goes on where it was. Inputs are never changed. A folder gives every file
    below it whose name does not start with a dot; a link to a file counts, a link to a folder is not followed.

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
        passport.in_language(lang)  # a language that it lacks is said before anything is begun
    classes = len(passport.labels) if passport is not None else len(names or ())
    on_ray = engine is Engine.RAY
    apart = {"--shard": shard is not None, "--fields": fields is not None, "--watch": watch}
    _refuse(
        [name for name, is_given in apart.items() if is_given],
        on_ray=on_ray,
        has_address=address is not None,
        workers=workers or 1,
    )
    options = Options(
        row=RowOptions(max(1, min(top, classes)), Limits(max_bytes, max_pixels)),
        fresh=fresh,
        workers=workers or usable_cores(),
        timeout_s=timeout,
        memory_bytes=memory * 2**20,
        shard=Shard.parse(shard) if shard is not None else None,
        fields=tuple(fields.split(",")) if fields is not None else (),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        wanted = Model(data, names, lang)
        if on_ray:
            from edge_fm_runtime.cluster.ray_cluster import Cluster

            done = scale.label_on(Cluster(address, workers, shard_size), wanted, inputs, out, options)
            _say_done(out, done)
        else:
            done = _run(model, wanted, inputs, out, options, watching=watch)
    except KeyboardInterrupt:
        terminal.note("stopped; the same command goes on from here")
        raise typer.Exit(_INTERRUPTED) from None
    if done.note:
        terminal.note(done.note)
    if summary:
        _say_summary(done, on_stderr=out == _STDOUT)
    if done.bad:
        terminal.note(f"{done.bad:,} inputs have no answer: see the columns status and error")
        raise typer.Exit(terminal.BAD_ANSWER)


def _refuse(apart: list[str], *, on_ray: bool, has_address: bool, workers: int) -> None:
    """Refuse what does not go together.

    Args:
        apart: options that make no sense on a cluster, as far as they were given.
        on_ray: whether a cluster labels.
        has_address: whether the address of one was given.
        workers: how many processes were asked for.

    Raises:
        OutputError: with what does not.
    """
    from edge_fm_runtime.errors import OutputError

    if on_ray and apart:
        raise OutputError(
            f"--engine ray does not go with {' and '.join(apart)}: it makes its own parts, with every column"
        )
    if "--shard" in apart and len(apart) > 1:
        raise OutputError(
            "--shard goes with neither --fields nor --watch: a part needs every column, and an end"
        )
    if has_address and not on_ray:
        raise OutputError("--address is of a Ray cluster: add --engine ray")
    if workers > _MOST_WORKERS and not on_ray:
        raise OutputError(f"--workers {workers}: one machine has at most {_MOST_WORKERS}")


def _run(
    name: str, model: "Model", inputs: Sequence[str], out: str, options: "Options", *, watching: bool
) -> "LabelSummary":
    from edge_fm_runtime.batch import label as label_module
    from edge_fm_runtime.errors import OutputError

    if out == _STDOUT:
        if watching:
            raise OutputError("--watch needs a file to keep: give -o labels.csv")
        return label_module.stream(model, inputs, options, terminal.say)
    with terminal.progress("labelling") as bar:

        def listen(done: int, total: int, made: "Counter[Status]") -> None:
            bar(done, total, "  ".join(f"{count:,} {status}" for status, count in sorted(made.items())))

        if watching:
            from edge_fm_runtime.batch.watch import WatchHooks, watch
            from edge_fm_runtime.classifier import Classifier
            from edge_fm_runtime.hot_reload import HotReloader
            from edge_fm_runtime.live.sd_notify import SdNotifier

            terminal.note("watching; Ctrl-C ends")
            current = Classifier.from_bytes(model.data, model.labels, model.language)
            renewal = HotReloader(name, current, terminal.note, model.labels, model.language)
            supervision = SdNotifier()

            def alive() -> None:
                supervision.wait("watching")

            def listen_alive(done: int, total: int, made: "Counter[Status]") -> None:
                alive()
                listen(done, total, made)

            watch(
                model,
                inputs,
                Path(out),
                options,
                WatchHooks(
                    listener=listen_alive,
                    report=lambda done: _say_done(out, done),
                    reloader=renewal,
                    alive=alive,
                ),
            )
        done = label_module.label(model, inputs, Path(out), options, listen)
    _say_done(out, done)
    return done


def _say_done(out: str, done: "LabelSummary") -> None:
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(done.by_status.items()))
    resumed = f" ({done.resumed:,} were done before)" if done.resumed else ""
    terminal.say(f"{out}: {done.rows:,} rows: {counts}{resumed}")


def _say_summary(done: "LabelSummary", *, on_stderr: bool) -> None:
    rows = [["status", status, f"{count:,}"] for status, count in sorted(done.by_status.items())]
    rows += [
        ["label", name, f"{count:,}"]
        for name, count in sorted(done.by_label.items(), key=lambda item: -item[1])
    ]
    if on_stderr:
        for row in rows:
            terminal.note("  ".join(row))
    else:
        terminal.table(["column", "value", "rows "], rows)


def _interrupt(_number: int, _frame: object) -> None:
    """End on SIGTERM as on Ctrl-C: the journal is whole at any point."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.is_finalizing():
        return
    raise KeyboardInterrupt
