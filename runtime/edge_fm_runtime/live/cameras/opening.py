"""Open a source: camera, pipe, video file, folder, stream URL, or the viewers' browsers."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.cameras import BROWSER
from edge_fm_runtime.live.cameras.base import Camera, Frame
from edge_fm_runtime.live.cameras.camera_stream import CameraStream
from edge_fm_runtime.live.cameras.files import SlideShow, VideoFile
from edge_fm_runtime.live.cameras.luma import open_luma
from edge_fm_runtime.live.cameras.mjpeg import MjpegPipe

_URL_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
_TIMEOUT_MS = 5000


@dataclass(frozen=True)
class CameraSettings:
    """Requested settings of a source; a camera may choose near ones.

    Attributes:
        size: (width, height) in pixels for cameras, None for their own choice.
        rate: frames a second for cameras, None for their own choice.
        fast: play files without waiting for their rate.
        slide_s: how long each picture of a folder is shown.
        grey: whether grey frames, (height, width) uint8, will do: where nobody looks and the model sees grey.
    """

    size: tuple[int, int] | None = None
    rate: float | None = None
    fast: bool = False
    slide_s: float = 2.0
    grey: bool = False


class BrowserCamera:
    """Source without frames and without end, for feeds that only browsers send."""

    dropped = 0
    ended = False
    notice = "this machine's camera is not used: switch to your browser's camera on the page"

    def read(self, wait_s: float) -> list[Frame]:
        """Wait for `wait_s` seconds."""
        time.sleep(wait_s)
        return []

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def open_camera(source: str, settings: CameraSettings = CameraSettings()) -> Camera:
    """Open a source.

    Args:
        source: a camera index ("0"), a device ("/dev/video0"), "-" for an MJPEG stream on standard input, a
            video file, a folder of pictures, an rtsp or http URL, or "browser".
        settings: what is asked of it.

    Raises:
        SourceError: it is not there or cannot be opened; the message says what to try.
    """
    if source == BROWSER:
        return BrowserCamera()
    live = _live(source, settings)
    return _file(Path(source), settings) if live is None else live


def _live(source: str, settings: CameraSettings) -> CameraStream | None:
    """Return a source whose frames do not wait for a reader; None if this is none."""
    if source == "-":
        remedy = "pipe a stream of JPEGs into it"
        if sys.stdin is None:
            raise SourceError(f"standard input is closed: {remedy}")
        return CameraStream(lambda: MjpegPipe(sys.stdin.fileno()), "standard input", remedy, reopens=False)
    if source.isdecimal():
        remedy = "is it plugged in, and free? Try another index; 'edge-fm doctor' lists the cameras"
        return CameraStream(lambda: _device(int(source), settings), f"camera {source}", remedy)
    if source.startswith(_URL_SCHEMES):
        remedy = "is the address right and the stream running?"
        return CameraStream(lambda: _stream(source), _without_password(source), remedy)
    if source.startswith("/dev/"):
        remedy = "is it plugged in, free, and may this user read it (group 'video')? 'edge-fm doctor' lists the cameras"
        return CameraStream(lambda: _device(source, settings), source, remedy)
    return None


def _file(path: Path, settings: CameraSettings) -> VideoFile | SlideShow:
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for a name that is too long
        return _slides(path, settings)
    if not os.path.isfile(path):  # noqa: PTH113  # as above
        raise SourceError(
            f"there is no video {str(path)!r:.300}: give a camera index such as 0, a video file, a folder of pictures, a URL, "
            "or - for an MJPEG stream on standard input"
        )
    capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise SourceError(f"{path} cannot be opened as a video: it is damaged, or OpenCV lacks its codec")
    luma = open_luma(path) if settings.grey else None
    if luma is not None:
        capture.release()
        return VideoFile(luma[0], str(path), fast=settings.fast, greys=luma[1])
    return VideoFile(capture, str(path), fast=settings.fast)


def _device(source: int | str, settings: CameraSettings) -> cv2.VideoCapture:
    """Open a camera with compressed frames, which fit through USB, and one buffer, so that none is old."""
    capture = cv2.VideoCapture(source, cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY)
    if capture.isOpened():
        wanted: list[tuple[int, float]] = [(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))]
        if settings.size:
            wanted += [
                (cv2.CAP_PROP_FRAME_WIDTH, settings.size[0]),
                (cv2.CAP_PROP_FRAME_HEIGHT, settings.size[1]),
            ]
        if settings.rate:
            wanted.append((cv2.CAP_PROP_FPS, settings.rate))
        for key, value in [*wanted, (cv2.CAP_PROP_BUFFERSIZE, 1)]:
            capture.set(key, value)
    return capture


def _stream(url: str) -> cv2.VideoCapture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _slides(folder: Path, settings: CameraSettings) -> SlideShow:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    if not paths:
        raise SourceError(f"{folder} holds no file: give a folder with pictures")
    return SlideShow(paths, settings.slide_s, fast=settings.fast)
