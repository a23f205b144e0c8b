"""The command that classifies a live feed: webcam."""

import contextlib
import functools
import itertools
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal
from edge_fm.cli.class_names import read_labels
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live.cameras import BROWSER
from edge_fm_runtime.untrusted.regular_file import is_file

if TYPE_CHECKING:
    from edge_fm_runtime.hot_reload import HotReloader
    from edge_fm_runtime.live.loop import View
    from edge_fm_runtime.live.region import Region

_HOST, _PORT = "127.0.0.1", 8080
_CAMERA, _ANSWER, _RECORDS, _PAGE = "Source", "Label", "Records", "Page (--view web)"


class ViewName(StrEnum):
    """Display of a feed."""

    WINDOW = "window"
    WEB = "web"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("webcam", rich_help_panel=options.USE)(webcam)


def expand_tls_self(arguments: list[str]) -> list[str]:
    """Return a command line with `--tls self` as the two values that the option takes."""
    expanded: list[str] = []
    for position, argument in enumerate(arguments):
        expanded.append(argument)
        if arguments[position - 1 : position + 1] == ["--tls", "self"] and arguments[
            position + 1 : position + 2
        ] != ["self"]:
            expanded.append("self")
    return expanded


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Camera index, device, - for MJPEG on standard input, video file, folder of images, rtsp or "
        "http URL, or browser.",
    ),
]
Shown = Annotated[
    ViewName,
    typer.Option("--view", help="A window, a page for browsers, or one line per change of label."),
]
Fast = Annotated[
    bool,
    typer.Option("--fast", help="Play a file as fast as possible, not at its rate.", rich_help_panel=_CAMERA),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="WxH",
        help="Frame size to request from a camera, in pixels.",
        show_default="the camera's",
        rich_help_panel=_CAMERA,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="FPS",
        min=1,
        max=1000,
        callback=options.finite,
        help="Frames per second to request from a camera.",
        show_default="the camera's",
        rich_help_panel=_CAMERA,
    ),
]
Every = Annotated[
    float,
    typer.Option(
        "--every",
        metavar="SECONDS",
        min=0.1,
        max=86_400,
        callback=options.finite,
        help="Time to show each image of a folder.",
        rich_help_panel=_CAMERA,
    ),
]
RegionText = Annotated[
    str,
    typer.Option(
        "--region",
        metavar="centre|full|x,y,w,h",
        help="Part of the frame to classify.",
        rich_help_panel=_CAMERA,
    ),
]
Smoothing = Annotated[
    float,
    typer.Option(
        "--smoothing",
        metavar="SECONDS",
        min=0,
        max=3600,
        callback=options.finite,
        help="Time over which probabilities are averaged.",
        rich_help_panel=_ANSWER,
    ),
]
Hold = Annotated[
    int,
    typer.Option(
        "--hold",
        metavar="MS",
        min=0,
        max=3_600_000,
        help="Time for which a new label must win before it is shown, in milliseconds.",
        rich_help_panel=_ANSWER,
    ),
]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="Label each frame on its own.", rich_help_panel=_ANSWER),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Append one JSON line per change of label to this file.",
        show_default=False,
        rich_help_panel=_RECORDS,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FILE",
        help="Record the feed as .mp4, or as .avi, which survives a power cut.",
        show_default=False,
        rich_help_panel=_RECORDS,
    ),
]
SaveUnknown = Annotated[
    Path | None,
    typer.Option(
        "--save-unknown",
        metavar="FOLDER",
        help="Save frames with the status unknown.",
        show_default=False,
        rich_help_panel=_RECORDS,
    ),
]
MaxStorage = Annotated[
    str,
    typer.Option(
        "--max-storage",
        metavar="SIZE",
        help="Size limit of the --save-unknown folder; the oldest frames are deleted first.",
        rich_help_panel=_RECORDS,
    ),
]
Snapshots = Annotated[
    Path,
    typer.Option(
        "--snapshots",
        metavar="FOLDER",
        help="Folder for snapshots from the window or the page.",
        rich_help_panel=_RECORDS,
    ),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="HOST",
        help="Address to serve the page on; any but 127.0.0.1 needs a token.",
        rich_help_panel=_PAGE,
    ),
]
Port = Annotated[
    int,
    typer.Option(
        "--port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Port to serve the page on; 0 takes a free one.",
        rich_help_panel=_PAGE,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="Token that visitors must send.",
        show_default="generated and printed if needed",
        rich_help_panel=_PAGE,
    ),
]
Tls = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--tls",
        metavar="CERT KEY|self",
        help="Serve over HTTPS with this certificate and key, or a self-signed one.",
        show_default=False,
        rich_help_panel=_PAGE,
    ),
]
HostNames = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="HOST",
        help="Host name at which visitors reach the page. Repeatable.",
        show_default=False,
        rich_help_panel=_PAGE,
    ),
]


def webcam(
    source: Source = "0",
    model: options.Model = "fashion",
    view: Shown = ViewName.WINDOW,
    labels: options.Labels = None,
    lang: options.Language = None,
    region: RegionText = "centre",
    size: Size = None,
    rate: Rate = None,
    fast: Fast = False,
    every: Every = 2.0,
    smoothing: Smoothing = 0.3,
    hold: Hold = 300,
    raw: Raw = False,
    log: Log = None,
    record: Record = None,
    save_unknown: SaveUnknown = None,
    max_storage: MaxStorage = "500MB",
    snapshots: Snapshots = Path(),
    host: Host = _HOST,
    port: Port = _PORT,
    token: Token = None,
    tls: Tls = None,
    name: HostNames = None,
) -> None:
    """Classify a camera, a video or a stream, live.

    In the window, h shows the keys and q quits. A lost camera is reconnected, however long it takes. A
    replaced model file is verified and loaded between two frames.

    Example: edge-fm webcam 0
    Example: edge-fm webcam 0 --view web --host 0.0.0.0 --tls self
    Example: rpicam-vid -t 0 --codec mjpeg -o - | edge-fm webcam - --view web
    """
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.hot_reload import HotReloader
    from edge_fm_runtime.live import loop
    from edge_fm_runtime.live.cameras.opening import CameraSettings, open_camera
    from edge_fm_runtime.live.region import Region
    from edge_fm_runtime.live.smoothing import LabelSmoother

    if view is not ViewName.WEB:
        _refuse_unused(
            {"--host": host != _HOST, "--port": port != _PORT, "--token": token, "--tls": tls, "--name": name}
        )
    if source == BROWSER and view is not ViewName.WEB:
        raise SourceError("the source 'browser' is a camera of a visitor of the page: add --view web")
    if not host:
        raise SourceError("--host is empty: give an address of this machine, such as 127.0.0.1")
    classified, max_bytes = Region.parse(region), _parse_bytes(max_storage)
    names = read_labels(labels) if labels is not None else None
    classifier = Classifier.load(model, names, lang)
    reloader = HotReloader(model, classifier, terminal.print_note, names, lang)
    is_shown = view is not ViewName.NONE or record is not None or save_unknown is not None
    is_grey = not is_shown and classifier.passport.input.channels == 1
    settings = CameraSettings(_parse_size(size), rate, fast, every, is_grey)
    smoother = LabelSmoother(classifier) if raw else LabelSmoother(classifier, smoothing, hold / 1000)

    with contextlib.ExitStack() as opened, _stop_event() as stop:
        camera = open_camera(source, settings)
        opened.callback(camera.close)
        records = _open_records(
            model, log=log, record=record, rate=rate, save_unknown=save_unknown, max_bytes=max_bytes
        )
        page = functools.partial(
            _open_page, reloader, model, host=host, port=port, token=token, tls=tls, names=name
        )
        display = _open_display(view, classified, model, snapshots, page)
        views = _open_all(itertools.chain(records, display), opened)
        opened.pop_all()  # from here on the loop closes them
        feed = loop.LoopSettings(region=classified, smoother=smoother, stop=stop, reloader=reloader)
        with reloader:
            frames = loop.run(classifier, camera, views, feed)
    terminal.print_note(f"{frames:,} frames" + (f", {camera.dropped:,} dropped" if camera.dropped else ""))


def _open_records(
    model: str,
    *,
    log: Path | None,
    record: Path | None,
    rate: float | None,
    save_unknown: Path | None,
    max_bytes: int,
) -> Iterator["View"]:
    """Open the records of a feed, one after the other."""
    from edge_fm_runtime.live import records

    if log is not None:
        yield records.EventLog(log, model, terminal.print_note)
    if record is not None:
        yield records.Recording(record, terminal.print_note, rate)
    if save_unknown is not None:
        yield records.UnknownKeeper(save_unknown, model, max_bytes, terminal.print_note)


def _open_display(
    view: ViewName,
    region: "Region",
    model: str,
    snapshots: Path,
    open_page: "Callable[[Path], View]",
) -> Iterator["View"]:
    """Open the window, the page or the lines of text, and the notifier of systemd."""
    from edge_fm_runtime.live.sd_notify import SdNotifier

    if view is ViewName.WINDOW:
        from edge_fm_runtime.live.window import WindowView

        yield WindowView(region, model, snapshots, terminal.print_note)
    elif view is ViewName.WEB:
        yield open_page(snapshots)
    else:
        from edge_fm_runtime.live.text import TextView

        yield TextView(terminal.print_line, terminal.print_note)
    yield SdNotifier()


def _open_page(
    reloader: "HotReloader",
    model: str,
    snapshots: Path,
    *,
    host: str,
    port: int,
    token: str | None,
    tls: tuple[str, str] | None,
    names: list[str] | None,
) -> "View":
    """Serve the page for browsers."""
    from edge_fm_runtime.live.web.server import WebSettings, WebView

    hosts = tuple(name.lower() for name in names or ())
    settings = WebSettings(host, port, token, _certificate(tls, host, hosts), hosts, snapshots)
    return WebView(lambda: reloader.current, model, settings, terminal.print_note)


def _open_all(views: Iterable["View"], opened: contextlib.ExitStack) -> list["View"]:
    """Return the views; those that are open already are closed if the next one fails to open."""
    ready = []
    for view in views:
        opened.callback(view.close)
        ready.append(view)
    return ready


def _refuse_unused(given: dict[str, object]) -> None:
    """Refuse options of the page without a page.

    Raises:
        SourceError: an option has a value.
    """
    unused = [option for option, value in given.items() if value]
    if unused:
        raise SourceError(f"{', '.join(unused)} would have no effect: add --view web, or leave it out")


@contextlib.contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event, so that records are finished; a second Ctrl-C ends."""
    stop = threading.Event()

    def request_stop(_signal: int, _frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _certificate(tls: tuple[str, str] | None, host: str, names: tuple[str, ...]) -> tuple[Path, Path] | None:
    """Return the paths of certificate and key, or None without TLS; `self` makes them for these names."""
    from edge_fm_runtime.live.web import tls as certificates

    if tls is None:
        return None
    if tls != ("self", "self"):
        missing = [path for path in tls if not is_file(path)]
        if missing:
            raise SourceError(
                f"there is no file {missing[0]}: give --tls CERT KEY in PEM form, or --tls self"
            )
        return Path(tls[0]), Path(tls[1])
    hosts = () if host in {"0.0.0.0", "::"} else (host,)  # noqa: S104  # compared
    made = certificates.own_certificate(certificates.folder(), (*names, *hosts))
    terminal.print_note(
        f"the certificate is self-signed; its SHA-256 fingerprint is {certificates.fingerprint(made[0])}"
    )
    return made


def _parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) in pixels of a text such as 640x480."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if found is None:
        raise SourceError(f"--size {text!r}: expected width and height in pixels, such as 640x480")
    return int(found[1]), int(found[2])


def _parse_bytes(text: str) -> int:
    """Return the number of bytes of a text such as 500MB."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)\s*([kMG]?)i?B?", text)
    if found is None:
        raise SourceError(f"--max-storage {text!r:.40}: expected an amount of storage, such as 500MB or 2GB")
    return int(float(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]])
