"""Kill and restart the servers of streams.

    python benchmarks/live_streams.py

The script kills RTSP and MJPEG servers on loopback and restarts them. It needs Debian's ffmpeg, python3-gi,
gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good.
"""

import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live import WEBCAM, frames_of_garments

from edge_fm_runtime.image.opencv import cv2

RTSP = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer, GLib
Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=480,framerate=25/1 "
                   "! jpegenc ! rtpjpegpay name=pay0 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/feed", factory)
server.attach(None)
GLib.MainLoop().run()
"""


def streams() -> None:
    """Kill and restart servers; print the messages and the time until frames arrive again."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "garments.mp4"
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
        for frame in frames_of_garments(1000):
            writer.write(frame)
        writer.release()
        mjpeg = [
            "ffmpeg",
            "-v",
            "error",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            str(video),
            "-f",
            "mpjpeg",
            "-q:v",
            "4",
        ]
        rtsp = ["/usr/bin/python3", "-c", RTSP, "8554"]
        _survive(
            "MJPEG over HTTP, ffmpeg",
            [*mjpeg, "-listen", "1", "http://127.0.0.1:8553/feed"],
            "http://127.0.0.1:8553/feed",
        )
        _survive("RTSP, GStreamer", rtsp, "rtsp://127.0.0.1:8554/feed")


def _survive(name: str, server: list[str], url: str) -> None:
    serving = subprocess.Popen(server, stderr=subprocess.DEVNULL)
    time.sleep(2)
    with _running([*WEBCAM, url, "--view", "none", "--raw"]) as (process, lines):
        try:
            first = _wait_for(lines, "%", 30)
            for kill in (1, 2):
                serving.send_signal(signal.SIGKILL)
                serving.wait()
                lost = _wait_for(lines, "is lost", 30)
                time.sleep(3)
                serving = subprocess.Popen(server, stderr=subprocess.DEVNULL)
                started_s = time.monotonic()
                _wait_for(lines, "frames again", 60)
                print(
                    f"{name}: killed {kill}: {lost!r}; frames again {time.monotonic() - started_s:.1f} s after its restart"
                )
            process.send_signal(signal.SIGTERM)
            ended = process.wait(20)
            print(f"{name}: first {first!r}; SIGTERM: exit code {ended}")
        finally:
            serving.kill()
            serving.wait()


@contextmanager
def _running(command: list[str]) -> "Iterator[tuple[subprocess.Popen[str], queue.Queue[str]]]":
    """Run a command and collect the lines of both its outputs."""
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:

        def listen() -> None:
            for line in process.stdout or ():
                lines.put(line.strip())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield process, lines
        finally:
            process.kill()
            listener.join()


def _wait_for(lines: "queue.Queue[str]", wanted: str, wait_s: float) -> str:
    ends_s = time.monotonic() + wait_s
    while True:
        line = lines.get(timeout=max(0.1, ends_s - time.monotonic()))
        if wanted in line:
            return line


if __name__ == "__main__":
    streams()
