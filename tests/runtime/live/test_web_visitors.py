"""Connections to the page: idle, slow, too many, malformed."""

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from edge_fm_runtime import posix
from edge_fm_runtime.live.web import listener, tls, visitors
from edge_fm_runtime.live.web.server import WebView
from edge_fm_runtime.live.web.visitors import VisitorCaps
from tests.runtime.live.page_process import is_open, opened, page_process, received, request
from tests.runtime.live_fakes import OpenView, get, reading

PER_ADDRESS = VisitorCaps.per_address
VIEWERS = PER_ADDRESS * 3 // 4


def port_of(view: WebView) -> int:
    """Return the port at which a page is served."""
    return int(view.address.rstrip("/").rpartition(":")[2])


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits from many seconds to tenths."""
    for module in (visitors, listener):
        monkeypatch.setattr(module, "WAIT_S", 0.3)
    monkeypatch.setattr(visitors, "STALL_S", 0.5)
    monkeypatch.setattr(listener, "_SWEEP_S", 0.1)


@pytest.fixture
def connections() -> Iterator[contextlib.ExitStack]:
    """Return a stack that closes the test's connections."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX-Slow: "])
def test_many_idle_connections_do_not_block_the_page(connections: contextlib.ExitStack, sent: bytes) -> None:
    """With 1,024 descriptors, /healthz answers under 2,000 idle connections, which take few of them."""
    limit = posix.raise_descriptor_limit()
    assert limit is None or limit > 2500, f"{limit} descriptors: raise the hard limit with ulimit -Hn 4096"
    with page_process("samples/wardrobe", descriptors=1024) as (pid, port):
        for _ in range(2000):
            connections.enter_context(opened(port, sent))
        for _ in range(5):
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < 200


def test_the_oldest_idle_connection_of_an_address_gives_way(
    view: WebView, connections: contextlib.ExitStack
) -> None:
    """Over the cap of an address, its oldest idle connection is closed, and the newer ones stay."""
    idle = [connections.enter_context(opened(port_of(view))) for _ in range(PER_ADDRESS)]
    assert get(view, "api/state").status_code == 200
    assert received(idle[0]) == b""
    assert all(is_open(connection) for connection in (*idle[2:6], *idle[-4:]))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one address of loopback")
def test_the_cap_of_all_addresses(
    monkeypatch: pytest.MonkeyPatch, open_view: OpenView, connections: contextlib.ExitStack
) -> None:
    """Many addresses together have a cap too, within which a further address is answered."""
    monkeypatch.setattr(posix, "raise_descriptor_limit", lambda: 80)
    view = open_view()
    idle = [
        connections.enter_context(opened(port_of(view), source=f"127.0.0.{2 + place % 10}"))
        for place in range(40)
    ]
    assert get(view, "api/state").status_code == 200
    assert not any(is_open(connection) for connection in idle[:20])
    assert all(is_open(connection) for connection in idle[-10:])


def test_viewers_stay_when_idle_connections_come(view: WebView, connections: contextlib.ExitStack) -> None:
    """A stream, the events and a browser's camera go on while 200 connections come from their address."""
    view.show(reading(1))
    stream = connections.enter_context(opened(port_of(view), request("/stream.mjpg")))
    events = connections.enter_context(opened(port_of(view), request("/api/events")))
    camera = connections.enter_context(connect(view.address.replace("http", "ws") + "api/camera"))
    received(stream, b"--frame")
    received(events, b"event: state")
    camera.send(b"no picture")
    assert "error" in camera.recv(5)
    for _ in range(200):
        connections.enter_context(opened(port_of(view)))
    assert get(view, "api/state").status_code == 200
    view.show(reading(2))
    assert b"image/jpeg" in received(stream, b"image/jpeg")
    assert b'"number": 2' in received(events, b'"number": 2')
    camera.send(b"no picture")
    assert "error" in camera.recv(5)


def test_viewers_leave_places_for_requests(view: WebView, connections: contextlib.ExitStack) -> None:
    """An address with too many streams is told so, and its other requests are still answered."""
    streams = [
        connections.enter_context(opened(port_of(view), request("/api/events"))) for _ in range(VIEWERS + 2)
    ]
    heads = [received(stream, b"\r\n\r\n") for stream in streams]
    assert [head[9:12] for head in heads] == [b"200"] * VIEWERS + [b"503"] * 2
    assert b"too many viewers" in heads[-1]
    for _ in range(PER_ADDRESS):
        connections.enter_context(opened(port_of(view)))
    assert get(view, "api/state").status_code == 200


def test_a_connection_without_a_place_is_told_so(
    monkeypatch: pytest.MonkeyPatch, open_view: OpenView, connections: contextlib.ExitStack
) -> None:
    """A new connection gets 503 with the security headers if viewers have every place."""
    monkeypatch.setattr(visitors, "_share", lambda places: places)
    view = open_view()
    for _ in range(PER_ADDRESS):
        received(connections.enter_context(opened(port_of(view), request("/api/events"))), b"event: state")
    answer = received(connections.enter_context(opened(port_of(view))))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"x-content-type-options: nosniff" in answer


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        request("/healthz"),
        b"POST /api/snapshot HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n",
    ],
    ids=["silent", "request line", "headers", "kept alive", "body"],
)
def test_a_slow_visitor_is_disconnected(
    view: WebView, connections: contextlib.ExitStack, sent: bytes
) -> None:
    """A connection ends if its next request is late, however many single bytes keep coming."""
    connection = connections.enter_context(opened(port_of(view), sent))
    if sent:
        drip_until_closed(connection)
    received(connection)


def drip_until_closed(connection: socket.socket) -> None:
    """Send a byte every few hundredths of a second until the other side has closed."""
    ends_s = time.monotonic() + 20
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < ends_s:
            connection.sendall(b"x")
            time.sleep(0.03)
    assert time.monotonic() < ends_s


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_a_viewer_is_never_late(view: WebView, connections: contextlib.ExitStack) -> None:
    """A stream without new pictures and a browser that sends nothing outlast every time limit."""
    stream = connections.enter_context(opened(port_of(view), request("/stream.mjpg")))
    camera = connections.enter_context(connect(view.address.replace("http", "ws") + "api/camera"))
    received(stream, b"--frame")
    time.sleep(1.0)
    assert is_open(stream)
    camera.send(b"no picture")
    assert "error" in camera.recv(5)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("path", ["/stream.mjpg", "/api/events"])
def test_a_viewer_that_reads_nothing_is_disconnected(
    view: WebView, connections: contextlib.ExitStack, path: str
) -> None:
    """A stream whose viewer takes nothing ends, and its place is free again."""
    connection = connections.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port_of(view)))
    connection.sendall(request(path))
    place = view._server._visitors
    number, ends_s = 0, time.monotonic() + 20
    while not (number and not any(visitor.is_open for visitor in place._open)):
        assert time.monotonic() < ends_s
        number += 1
        view.show(reading(number, label=f"{number} {'long' * 20_000}", height=1200))
        time.sleep(0.02)


@pytest.mark.slow
def test_a_handshake_that_never_ends(
    open_view: OpenView, connections: contextlib.ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTPS, unfinished handshakes count and time out, and the page is answered meanwhile."""
    monkeypatch.setattr(listener, "WAIT_S", 2.0)
    pair = tls.own_certificate(tmp_path / "tls", ())
    view = open_view(tls=pair)
    silent = [connections.enter_context(opened(port_of(view), sent)) for sent in (b"", b"\x16") * 50]
    trusting = ssl.create_default_context(cafile=pair[0])
    assert get(view, "api/state", verify=trusting).status_code == 200
    assert not is_open(silent[0])
    for connection in silent:
        connection.settimeout(10)
        received(connection)


def test_viewers_over_https_stay(
    open_view: OpenView, connections: contextlib.ExitStack, tmp_path: Path
) -> None:
    """Over HTTPS too, a viewer's connection does not give way."""
    pair = tls.own_certificate(tmp_path / "tls", ())
    view = open_view(tls=pair)
    trusting = ssl.create_default_context(cafile=pair[0])
    raw = connections.enter_context(opened(port_of(view)))
    stream = connections.enter_context(trusting.wrap_socket(raw, server_hostname="localhost"))
    stream.sendall(request("/api/events"))
    received(stream, b"event: state")
    for _ in range(100):
        connections.enter_context(opened(port_of(view)))
    view.show(reading(7))
    assert b'"number": 7' in received(stream, b'"number": 7')


@pytest.mark.skipif(os.name != "posix", reason="Windows has no limit on descriptors")
def test_without_descriptors_the_page_recovers(
    open_view: OpenView, monkeypatch: pytest.MonkeyPatch, connections: contextlib.ExitStack
) -> None:
    """If other parts of the process take all descriptors, visitors are answered again once some are free."""
    import resource

    view = open_view()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = connections.enter_context(socket.socket())
    late = connections.enter_context(socket.socket())
    monkeypatch.setattr(listener, "_PAUSE_S", 0.01)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken.fileno() + 1, hard))
    try:
        late.connect(("127.0.0.1", port_of(view)))
        late.sendall(request("/api/state"))
        time.sleep(0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    late.settimeout(10)
    assert received(late, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("descriptors", "total", "per_address"),
    [(None, 256, 64), (1_000_000, 256, 64), (1024, 256, 64), (256, 64, 32), (64, 16, 8)],
)
def test_the_caps_leave_most_descriptors(descriptors: int | None, total: int, per_address: int) -> None:
    """The caps follow the limit on descriptors, so that cameras, models and files have theirs."""
    assert VisitorCaps.within(descriptors) == VisitorCaps(total=total, per_address=per_address)


def test_closing_with_visitors_of_every_kind(open_view: OpenView, connections: contextlib.ExitStack) -> None:
    """Closing the page ends idle, slow and viewing connections and its thread."""
    view = open_view()
    for sent in (b"", b"GET / HT", request("/healthz"), request("/api/events"), request("/stream.mjpg")):
        connections.enter_context(opened(port_of(view), sent))
    closing = threading.Thread(target=view.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert not view._thread.is_alive()
