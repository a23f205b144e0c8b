"""Load the live page as strangers and many phones would, and print how it bears it.

    python benchmarks/page_load.py idle      2,000 connections that say nothing; time of /healthz meanwhile
    python benchmarks/page_load.py frames    four browsers that send 8-megapixel frames; memory of the server

The server is a process of its own with the usual limit of 1,024 descriptors.
"""

import argparse
import contextlib
import http
import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from websockets.sync.client import connect

from edge_fm_runtime.image.opencv import cv2

WEBCAM = [sys.executable, "-m", "edge_fm", "webcam"]
FRAME = (2448, 3264, 3)
"""Height, width and channels of the frames: 8 megapixels."""


@contextlib.contextmanager
def server(source: str, descriptors: int = 1024) -> Iterator[tuple[int, int]]:
    """Serve a page; yield process id and port."""
    command = [*WEBCAM, source, "--view", "web", "--port", "0"]
    with subprocess.Popen(
        ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = next(line for line in process.stderr or () if line.startswith("look at "))
            yield process.pid, int(line.rstrip().rstrip("/").rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)


def idle(count: int) -> None:
    """Print the slowest answers of /healthz before, while and after idle connections are opened."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with server("samples/wardrobe") as (pid, port), contextlib.ExitStack() as opened:
        print(f"no idle connections: /healthz within {_slowest_s(port):.3f} s")
        opening = threading.Thread(target=_open_many, args=(opened, port, count))
        opening.start()
        print(f"while they are opened: within {_slowest_s(port):.3f} s")
        opening.join()
        print(f"{count:,} idle connections: within {_slowest_s(port):.3f} s")
        print(f"descriptors of the server: {len(list(Path(f'/proc/{pid}/fd').iterdir()))}")


def _slowest_s(port: int) -> float:
    times_s = []
    for _ in range(20):
        started_s = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/healthz")
        code = connection.getresponse().status
        connection.close()
        times_s.append(time.perf_counter() - started_s)
        if code != http.HTTPStatus.OK:
            raise SystemExit(f"/healthz answered {code}")
        time.sleep(0.02)
    return max(times_s)


def _open_many(opened: contextlib.ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        opened.enter_context(socket.create_connection(("127.0.0.1", port), 60))


def frames(seconds: float) -> None:
    """Print the server's memory before, during and after four browsers that send frames."""
    noise = np.random.default_rng(0).normal(128, 40, (FRAME[0] // 8, FRAME[1] // 8, 3)).clip(0, 255)
    picture = cv2.resize(noise.astype(np.uint8), FRAME[1::-1], interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()
    with server("browser") as (pid, port):
        time.sleep(3)
        idle_mb, peak_mb, answered = _resident_mb(pid), 0.0, [0] * 4
        ends_s = time.monotonic() + seconds
        browsers = [
            threading.Thread(target=_send, args=(port, data, ends_s, answered, place)) for place in range(4)
        ]
        for browser in browsers:
            browser.start()
        while any(browser.is_alive() for browser in browsers):
            peak_mb = max(peak_mb, _resident_mb(pid))
            time.sleep(0.02)
        time.sleep(10)
        print(f"frames of {len(data) / 2**20:.1f} MB, answered {answered} in {seconds:.0f} s")
        print(
            f"idle {idle_mb:.0f} MB, peak +{peak_mb - idle_mb:.0f}, after 10 s +{_resident_mb(pid) - idle_mb:.0f}"
        )


def _send(port: int, data: bytes, ends_s: float, answered: list[int], place: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/api/camera") as browser:
        while time.monotonic() < ends_s:
            browser.send(data)
            browser.recv(60)
            answered[place] += 1


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["idle", "frames"])
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    wanted = parser.parse_args()
    if wanted.what == "idle":
        idle(wanted.connections)
    else:
        frames(wanted.seconds)


if __name__ == "__main__":
    main()
