"""Commands that classify: label, webcam."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal
from edge_fm.cli.export import BAD_ANSWER, read_labels

Model = Annotated[str, typer.Option("--model", help="A bundled model's name or an .onnx file.")]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="A,B,... or a file: for a model without a passport.", show_default=False),
]


class ViewName(StrEnum):
    """Where a feed is shown."""

    WINDOW = "window"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("label")(label)
    app.command("webcam")(webcam)


def label(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files and folders (with all below them).", metavar="INPUT...", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .csv file to write.")] = Path("labels.csv"),
    model: Model = "fashion",
    top: Annotated[int, typer.Option(min=1, max=100, help="How many labels each row keeps.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier run has done.")] = False,
    labels: Labels = None,
) -> None:
    """Label pictures: one row for each input, whatever it is.

    Stopped at any point, the same command goes on where it was. Inputs are never changed.

    Example: edge-fm label photos/ -o labels.csv
    """
    from edge_fm_runtime.batch.run import Options
    from edge_fm_runtime.batch.run import label as write
    from edge_fm_runtime.classifier import Classifier, read_model

    data = read_model(model)
    classifier = Classifier.from_bytes(data, read_labels(labels) if labels is not None else None)
    options = Options(top=min(top, len(classifier.passport.labels)), fresh=fresh)
    with terminal.progress("labelling") as bar:
        summary = write(classifier, data, inputs, out, options, bar)
    if summary.note:
        terminal.note(summary.note)
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(summary.by_status.items()))
    resumed = f" ({summary.resumed:,} were done before)" if summary.resumed else ""
    terminal.say(f"{out}: {summary.rows:,} rows: {counts}{resumed}")
    if summary.bad:
        terminal.note(f"{summary.bad:,} inputs have no answer: see the columns status and error")
        raise typer.Exit(BAD_ANSWER)


def webcam(
    source: Annotated[
        str, typer.Argument(help="Camera index, device, video file, or rtsp or http URL.")
    ] = "0",
    model: Model = "fashion",
    view: Annotated[
        ViewName, typer.Option(help="A window, or none: one line for each change of label.")
    ] = ViewName.WINDOW,
    fast: Annotated[bool, typer.Option("--fast", help="Play a file without waiting for its rate.")] = False,
    labels: Labels = None,
) -> None:
    """Classify a live feed or a video.

    In the window, q or Escape ends.

    Example: edge-fm webcam 0
    """
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.live import loop
    from edge_fm_runtime.live.cameras import open_camera
    from edge_fm_runtime.live.text import TextView

    classifier = Classifier.load(model, read_labels(labels) if labels is not None else None)
    camera = open_camera(source, fast=fast)
    try:
        shown: loop.View
        if view is ViewName.WINDOW:
            from edge_fm_runtime.live.window import WindowView

            shown = WindowView()
        else:
            shown = TextView(terminal.say)
        frames = loop.run(classifier, camera, shown)
    except KeyboardInterrupt:
        terminal.note("stopped")
        return
    finally:
        camera.close()
    terminal.note(f"{frames:,} frames")
