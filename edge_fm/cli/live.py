"""Commands about live feeds: webcam."""

from enum import StrEnum
from typing import Annotated

import typer

from edge_fm.cli import terminal
from edge_fm.cli.export import read_labels

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
    app.command("webcam")(webcam)


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
