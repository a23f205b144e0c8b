"""The command that classifies a live feed: webcam."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal
from edge_fm.cli.names import Language, read_labels
from edge_fm_runtime.errors import SourceError

_HOST, _PORT = "127.0.0.1", 8080


class ViewName(StrEnum):
    """Where a feed is shown."""

    WINDOW = "window"
    WEB = "web"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("webcam")(webcam)


def spelled_out(arguments: list[str]) -> list[str]:
    """Return the command line with `--tls self` as the two values that the option takes."""
    done: list[str] = []
    for position, argument in enumerate(arguments):
        done.append(argument)
        if arguments[position - 1 : position + 1] == ["--tls", "self"] and arguments[
            position + 1 : position + 2
        ] != ["self"]:
            done.append("self")
    return done


Camera = Annotated[
    str,
    typer.Argument(
        help="Camera index, device, - for MJPEG on stdin, video file, folder of pictures, rtsp or http URL, or browser."
    ),
]
Model = Annotated[str, typer.Option("--model", help="A bundled model's name or an .onnx file.")]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="A,B,... or a file: for a model without a passport.", show_default=False),
]
Shown = Annotated[
    ViewName,
    typer.Option("--view", help="A window, a page for browsers, or a line for each change of label."),
]
Fast = Annotated[bool, typer.Option("--fast", help="Play a file without waiting for its rate.")]
Size = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Asked of a camera.", show_default=False)
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=1, help="Frames a second, asked of a camera.", show_default=False),
]
Every = Annotated[float, typer.Option("--every", min=0.1, help="Seconds for each picture of a folder.")]
Part = Annotated[str, typer.Option("--region", metavar="centre|full|x,y,w,h", help="What is classified.")]
Smoothing = Annotated[
    float, typer.Option("--smoothing", min=0, help="Average probabilities over about this many seconds.")
]
Hold = Annotated[
    int, typer.Option("--hold", min=0, help="Milliseconds that a new label must win before it shows.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Each frame by itself: neither --smoothing nor --hold.")]
Log = Annotated[
    Path | None, typer.Option("--log", help="A JSON line for each change of label.", show_default=False)
]
Record = Annotated[
    Path | None,
    typer.Option("--record", help=".mp4, or .avi, which survives a power cut.", show_default=False),
]
SaveUnknown = Annotated[
    Path | None,
    typer.Option(
        "--save-unknown", help="A folder for frames that the model is unsure of.", show_default=False
    ),
]
MaxStorage = Annotated[
    str, typer.Option("--max-storage", metavar="SIZE", help="Of --save-unknown; the oldest go first.")
]
Snapshots = Annotated[Path, typer.Option("--snapshots", help="The folder for snapshots.")]
Host = Annotated[
    str, typer.Option("--host", help="Where the page is served; any but 127.0.0.1 needs a token.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")]
Token = Annotated[
    str | None,
    typer.Option("--token", help="What visitors must bring.", show_default="made and printed if needed"),
]
Tls = Annotated[
    tuple[str, str] | None,
    typer.Option("--tls", metavar="CERT KEY|self", help="Serve over HTTPS.", show_default=False),
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A host name by which people reach the page.", show_default=False),
]


def webcam(
    source: Camera = "0",
    model: Model = "fashion",
    view: Shown = ViewName.WINDOW,
    region: Part = "centre",
    smoothing: Smoothing = 0.3,
    hold: Hold = 300,
    raw: Raw = False,
    fast: Fast = False,
    size: Size = None,
    rate: Rate = None,
    every: Every = 2.0,
    log: Log = None,
    record: Record = None,
    save_unknown: SaveUnknown = None,
    max_storage: MaxStorage = "500MB",
    snapshots: Snapshots = Path(),
    host: Host = _HOST,
    port: Port = _PORT,
    token: Token = None,
    tls: Tls = None,
    name: Names = None,
    labels: Labels = None,
    lang: Language = None,
) -> None:
    """Classify a live feed or a video.

    In the window: h shows the keys, q ends. A camera that is lost is connected to again, for as long as it takes. A model
    file that is replaced is verified and taken up between two frames.

    Example: edge-fm webcam 0

    Example: edge-fm webcam 0 --view web --host 0.0.0.0 --tls self

    Example: rpicam-vid -t 0 --codec mjpeg -o - | edge-fm webcam - --view web
    """
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.hot_reload import HotReloader
    from edge_fm_runtime.live import loop, records
    from edge_fm_runtime.live.cameras.opening import CameraSettings, open_camera
    from edge_fm_runtime.live.region import Region
    from edge_fm_runtime.live.sd_notify import SdNotifier
    from edge_fm_runtime.live.smoothing import LabelSmoother

    if view is not ViewName.WEB:
        _refuse_unused(
            {"--host": host != _HOST, "--port": port != _PORT, "--token": token, "--tls": tls, "--name": name}
        )
    seen, most = Region.parse(region), _bytes(max_storage)
    names_given = read_labels(labels) if labels is not None else None
    classifier = Classifier.load(model, names_given, lang)
    renewal = HotReloader(model, classifier, terminal.note, names_given, lang)
    unseen = view is ViewName.NONE and record is None and save_unknown is None
    is_grey = unseen and classifier.passport.input.channels == 1
    settings = CameraSettings(_size(size), rate, fast, every, is_grey)
    steady = LabelSmoother(classifier) if raw else LabelSmoother(classifier, smoothing, hold / 1000)
    with contextlib.ExitStack() as begun, _stopping() as stop:

        def keep(opened: loop.View) -> None:
            views.append(opened)
            begun.callback(opened.close)

        camera = open_camera(source, settings)
        begun.callback(camera.close)
        views: list[loop.View] = []
        if log is not None:
            keep(records.EventLog(log, model, terminal.note))
        if record is not None:
            keep(records.Recording(record, terminal.note, rate))
        if save_unknown is not None:
            keep(records.UnknownKeeper(save_unknown, model, most, terminal.note))
        if view is ViewName.WINDOW:
            from edge_fm_runtime.live.window import WindowView

            keep(WindowView(seen, model, snapshots, terminal.note))
        elif view is ViewName.WEB:
            from edge_fm_runtime.live.web.server import WebSettings, WebView

            names = tuple(entry.lower() for entry in name or ())
            web = WebSettings(host, port, token, _certificate(tls, host, names), names, snapshots)
            keep(WebView(lambda: renewal.current, model, web, terminal.note))
        else:
            from edge_fm_runtime.live.text import TextView

            keep(TextView(terminal.say, terminal.note))
        keep(SdNotifier())
        begun.pop_all()  # from here on the loop closes them
        with renewal:
            frames = loop.run(
                classifier,
                camera,
                views,
                loop.LoopSettings(region=seen, smoother=steady, stop=stop, reloader=renewal),
            )
    terminal.note(f"{frames:,} frames" + (f", {camera.dropped:,} dropped" if camera.dropped else ""))


def _refuse_unused(given: dict[str, object]) -> None:
    unused = [option for option, value in given.items() if value]
    if unused:
        raise SourceError(f"{', '.join(unused)} would have no effect: add --view web, or leave it away")


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event, so that records are finished; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(_signal: int, _frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _certificate(tls: tuple[str, str] | None, host: str, names: tuple[str, ...]) -> tuple[Path, Path] | None:
    from edge_fm_runtime.live.web import tls as certificates

    if tls is None:
        return None
    if tls != ("self", "self"):
        missing = [path for path in tls if not Path(path).is_file()]
        if missing:
            raise SourceError(
                f"there is no file {missing[0]}: give --tls CERT KEY in PEM form, or --tls self"
            )
        return Path(tls[0]), Path(tls[1])
    made = certificates.own_certificate(
        certificates.folder(),
        (*names, *(() if host in {"0.0.0.0", "::"} else (host,))),  # noqa: S104  # compared
    )
    terminal.note(
        f"the certificate is this machine's own; its SHA-256 fingerprint is\n  {certificates.fingerprint(made[0])}"
    )
    return made


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if found is None:
        raise SourceError(f"{text!r} is no size: give width and height, such as 640x480")
    return int(found[1]), int(found[2])


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)i?B?", text)
    if found is None:
        raise SourceError(f"{text!r} is no amount of storage: give one such as 500MB or 2GB")
    return int(float(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]])
