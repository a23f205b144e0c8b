"""The live page in a process of its own, and raw connections to it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT


@contextlib.contextmanager
def page_process(source: str, descriptors: int = 1024) -> Iterator[tuple[int, int]]:
    """Serve a page in a process that may open a number of descriptors; yield its process id and port."""
    folders = os.pathsep.join(str(ROOT / name) for name in (".", "exporters", "runtime"))
    webcam = [sys.executable, "-m", "edge_fm", "webcam", source, "--view", "web", "--port", "0"]
    with subprocess.Popen(
        ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *webcam],
        env={**os.environ, "PYTHONPATH": folders},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            address = next(line for line in process.stderr or () if line.startswith("look at ")).strip()
            yield process.pid, int(address.rstrip("/").rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def opened(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """Return a connection from an address of loopback, with some bytes sent."""
    connection = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    connection.sendall(sent)
    return connection


def request(path: str = "/healthz", host: bytes = b"127.0.0.1") -> bytes:
    """Return the bytes of a GET request."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode("latin-1"), host)


def received(connection: socket.socket, end: bytes = b"") -> bytes:
    """Return what arrives until the other side closes, or until it contains some bytes."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while not end or end not in data:
            part = connection.recv(65536)
            if not part:
                break
            data += part
    return data


def is_open(connection: socket.socket) -> bool:
    """Return whether a connection on which nothing is expected is still open."""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False
