"""The page: a real server on loopback, with real connections."""

import base64
import contextlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.web import server
from edge_fm_runtime.live.web.server import WebView
from edge_fm_runtime.status import Status
from tests.runtime.live_fakes import OpenView, frame, get, reading


def test_the_page_needs_nothing_from_elsewhere(view: WebView) -> None:
    """Page, style, script and icon come from the device, name no other host, and may load none."""
    page = get(view, "")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"page.css", "page.js", "icon.svg"} <= set(links)
    for link in links:
        part = get(view, link)
        assert part.status_code == 200
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", part.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


def test_the_state_is_the_last_result_of_the_loop(view: WebView) -> None:
    """Label, ranking, input, rates and history follow the loop; before the first frame it says so."""
    view.wait("camera 0 is lost")
    assert get(view, "api/state").json() == {
        "number": 0,
        "notice": "camera 0 is lost",
        "history": [],
        "model": "tiny",
    }
    for number, label in enumerate(["Bag", "Bag", "Coat"], 1):
        view.show(reading(number, label=label))
    state = get(view, "api/state").json()
    assert (state["number"], state["label"], state["confidence"], state["dropped"]) == (3, "Coat", 0.75, 7)
    assert [entry["label"] for entry in state["history"]] == ["Bag", "Coat"]
    assert set(base64.b64decode(state["input"])) == {3}
    assert state["input_shape"] == [28, 28, 1]


def test_events_tell_each_change(view: WebView) -> None:
    """A viewer gets a `label` event for each change and the state in between."""
    view.show(reading(1, label="Bag"))
    seen = []
    with httpx.stream("GET", view.address + "api/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.append(line[7:])
            elif line.startswith("data: ") and seen[-1] == "label":
                seen[-1] = json.loads(line[6:])["label"]
                if seen[-1] == "Bag":
                    view.show(reading(2, label="Coat", status=Status.UNKNOWN))
            if "Coat" in seen:
                break
    assert [entry for entry in seen if entry != "state"] == ["Bag", "Coat"]
    assert "state" in seen


def read_pictures(view: WebView, count: int) -> list[bytes]:
    """Return the first pictures of the stream; the loop goes on while it is read."""
    buffer, pictures = b"", []
    with httpx.stream("GET", view.address + "stream.mjpg") as stream:
        for chunk in stream.iter_bytes():
            buffer += chunk
            while found := re.search(rb"Content-Length: (\d+)\r\n\r\n", buffer):
                length = int(found[1])
                if len(buffer) < found.end() + length:
                    break
                pictures.append(buffer[found.end() : found.end() + length])
                buffer = buffer[found.end() + length :]
                view.show(reading(100 + len(pictures)))
            if len(pictures) >= count:
                return pictures
    return pictures


def test_the_stream_is_pictures_with_the_region(view: WebView) -> None:
    """Each part is a JPEG of the newest frame with the classified part drawn on it."""
    view.show(reading(1))
    pictures = read_pictures(view, 3)
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) for data in pictures]
    assert all(picture.shape == (120, 160, 3) for picture in decoded)
    green = decoded[0][60, 20].astype(int)
    assert green[1] > green[0] + 30


def test_many_viewers_cost_one_encoding(view: WebView, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is encoded once for all viewers, never in the loop, and not at all when nobody looks."""
    encoded: list[int] = []
    real = cv2.imencode

    def counted(*arguments: Any) -> object:
        encoded.append(threading.get_ident())
        return real(*arguments)

    monkeypatch.setattr(cv2, "imencode", counted)
    for number in range(50):
        view.show(reading(number))
    assert encoded == []
    viewers = [threading.Thread(target=read_pictures, args=(view, 1)) for _ in range(4)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert 1 <= len(encoded) <= 5  # the frame they found, and one for each that went on
    assert threading.get_ident() not in encoded


def test_a_snapshot_from_the_page(view: WebView, tmp_path: Path) -> None:
    """The button keeps picture and JSON on the device; without a frame it says so."""
    assert httpx.post(view.address + "api/snapshot").status_code == 503
    view.show(reading(5))
    kept = httpx.post(view.address + "api/snapshot").json()
    assert kept["label"] == "dark"
    assert (tmp_path / kept["file"]).is_file()
    assert get(view, "api/snapshot").status_code == 405


def test_health_follows_the_frames(view: WebView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Healthy while frames come; ten seconds without one are not."""
    view.show(reading())
    assert get(view, "healthz").status_code == 200
    monkeypatch.setattr("edge_fm_runtime.live.web.hub._HEALTHY_S", 0.0)
    assert get(view, "healthz").status_code == 503


def test_metrics_are_prometheus_text(view: WebView) -> None:
    """Prometheus's own parser reads them, and they hold what the loop told."""
    from prometheus_client.parser import text_string_to_metric_families

    for number in range(3):
        view.show(reading(number, label="Bag"))
    view.show(reading(4, label="Coat", status=Status.UNKNOWN))
    families = {family.name: family for family in text_string_to_metric_families(get(view, "metrics").text)}
    frames = {sample.labels["label"]: sample.value for sample in families["edge_fm_frames"].samples}
    assert frames == {"Bag": 3, "unknown": 1}
    assert families["edge_fm_latency_seconds"].samples[0].value == pytest.approx(0.0015)
    assert families["edge_fm_frames_dropped"].samples[0].value == 7


def encoded(level: int) -> bytes:
    """Return a frame as a browser sends it."""
    return cv2.imencode(".jpg", frame(level, 480, 640))[1].tobytes()


def test_a_browser_s_own_camera_is_answered(view: WebView) -> None:
    """Each frame sent gets its answer; bytes that are no picture get a sentence, and the connection lives."""
    with connect(
        view.address.replace("http", "ws") + "api/camera", origin=Origin(view.address.rstrip("/"))
    ) as socket:
        said = []
        for data in (encoded(0), b"no picture", encoded(255)):
            socket.send(data)
            said.append(json.loads(socket.recv(5)))
    assert [entry.get("label") for entry in said] == ["dark", None, "light"]
    assert "error" in said[1]
    assert said[2]["region"] == [96, 16, 448, 448]


def test_a_browser_that_sends_too_much(view: WebView) -> None:
    """A frame over the limit ends that connection, not the server."""
    with connect(view.address.replace("http", "ws") + "api/camera") as socket:
        socket.send(bytes(5 * 2**20))
        with pytest.raises(ConnectionClosed):
            socket.recv(5)
    assert get(view, "healthz").status_code == 200


def test_only_a_few_browsers_at_once(view: WebView) -> None:
    """One browser too many is told so."""
    address = view.address.replace("http", "ws") + "api/camera"
    with contextlib.ExitStack() as sockets:
        for _ in range(4):
            sockets.enter_context(connect(address))
        late = sockets.enter_context(connect(address))
        with pytest.raises(ConnectionClosed, match="already"):
            late.recv(5)


def test_a_port_in_use(open_view: OpenView) -> None:
    """A port that another program has is a sentence that says what to do."""
    port = int(open_view().address.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(SourceError, match="--port"):
        open_view(port=port)


def test_closing_ends_the_viewers(open_view: OpenView) -> None:
    """Streams end with the feed, and the port is free again."""
    view = open_view()
    view.show(reading())
    begun, ended = threading.Event(), threading.Event()

    def look() -> None:
        with httpx.stream("GET", view.address + "api/events") as stream:
            begun.set()
            for _ in stream.iter_lines():
                ended.wait(0.0)
        ended.set()

    viewer = threading.Thread(target=look)
    viewer.start()
    assert begun.wait(30)
    view.close()
    viewer.join(10)
    assert not viewer.is_alive()
    assert ended.is_set()
    server._listening("127.0.0.1", int(view.address.rstrip("/").rsplit(":", 1)[1])).close()
