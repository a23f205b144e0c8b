"""Frames of browsers' own cameras: bounded memory, reduced decoding, places."""

import base64
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.region import CENTRE, Region
from edge_fm_runtime.live.web import browser_cameras
from edge_fm_runtime.live.web.server import WebView
from tests.conftest import ROOT
from tests.pictures import encoded
from tests.runtime.live.page_process import page_process, resident_mb


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    """Return a garment with noise, (height, width, 3) in blue, green, red order."""
    garment = cv2.imread(str(next(iter(sorted((ROOT / "samples/wardrobe").glob("*.png"))))))
    picture = cv2.resize(np.asarray(garment), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 6, (height // 4, width // 4, 3))
    spread = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(picture + spread, 0, 255), np.uint8)


def jpeg(height: int, width: int) -> bytes:
    """Return a frame as a browser sends it."""
    return cv2.imencode(".jpg", photograph(height, width), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


@pytest.fixture
def sockets(view: WebView) -> Iterator[Any]:
    """Return a function that connects another browser; all are closed at the end."""
    address = view.address.replace("http", "ws") + "api/camera"
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(connect(address))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_four_browsers_with_large_frames_take_little_memory() -> None:
    """Frames of 8 megapixels from four browsers take at most 150 MB, and leave at most 40 MB behind."""
    data = jpeg(2448, 3264)
    with page_process("browser") as (pid, port), contextlib.ExitStack() as stack:
        time.sleep(1)
        idle_mb, peak_mb = resident_mb(pid), 0.0
        address = f"ws://127.0.0.1:{port}/api/camera"
        browsers = [stack.enter_context(connect(address)) for _ in range(4)]
        senders = [threading.Thread(target=send_frames, args=(browser, data, 6)) for browser in browsers]
        for sender in senders:
            sender.start()
        while any(sender.is_alive() for sender in senders):
            peak_mb = max(peak_mb, resident_mb(pid))
            time.sleep(0.02)
        for browser in browsers:
            browser.close()
        ends_s = time.monotonic() + 10
        while resident_mb(pid) - idle_mb > 40:
            assert time.monotonic() < ends_s, f"{resident_mb(pid) - idle_mb:.0f} MB are kept"
        assert peak_mb - idle_mb < 150


def send_frames(browser: ClientConnection, data: bytes, count: int) -> None:
    """Send frames without waiting for their answers, then take all answers."""
    for _ in range(count):
        browser.send(data)
    for _ in range(count):
        assert json.loads(browser.recv(60))["frame"] == [3264, 2448]


@pytest.mark.parametrize("size", [(2448, 3264), (1080, 1920), (480, 640), (241, 323), (20, 30)])
def test_a_reduced_frame_has_the_same_answer(tiny: Classifier, size: tuple[int, int]) -> None:
    """Region and frame are in pixels of the whole frame, and the model sees what it would at full size."""
    data = jpeg(*size)
    found = browser_cameras.describe(data, 1, tiny, "tiny")
    whole = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    region = Region(CENTRE)
    region.suit(tiny.passport.input)
    box = region.box(size[1], size[0])
    expected = tiny.frame_tensor(whole[box.y : box.y + box.height, box.x : box.x + box.width])
    seen = np.frombuffer(base64.b64decode(found["input"]), np.uint8).reshape(found["input_shape"])
    assert found["frame"] == [size[1], size[0]]
    assert found["region"] == [box.x, box.y, box.width, box.height]
    difference = np.abs(seen.astype(int) - expected)
    assert difference.mean() < 0.5
    assert difference.max() <= 3
    assert found["label"] == tiny.decide(tiny.probabilities(expected[np.newaxis]))[0].label


def test_frames_are_decoded_one_at_a_time(sockets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many browsers send at once, one frame is decoded at a time."""
    inside, most = 0, 0
    real = browser_cameras.describe

    def counted(*arguments: Any) -> object:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        inside -= 1
        return real(*arguments)

    monkeypatch.setattr(browser_cameras, "describe", counted)
    data, browsers = jpeg(48, 64), [sockets() for _ in range(4)]
    for _ in range(3):
        for browser in browsers:
            browser.send(data)
    answers = [json.loads(browser.recv(10)) for browser in browsers for _ in range(3)]
    assert [answer["number"] for answer in answers] == [1, 2, 3] * 4
    assert most == 1


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_only_jpegs_are_frames(tiny: Classifier, suffix: str) -> None:
    """Other formats are refused before they are decoded: they cannot be decoded at a reduced size."""
    with pytest.raises(InputError, match="send JPEGs"):
        browser_cameras.describe(encoded(photograph(48, 64), suffix), 1, tiny, "tiny")


def test_more_pixels_than_allowed(tiny: Classifier) -> None:
    """A frame of over eight megapixels is refused by its header."""
    blank = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8))[1].tobytes()
    with pytest.raises(InputError, match="more than the limit"):
        browser_cameras.describe(blank, 1, tiny, "tiny")


def test_a_text_message_is_no_frame(sockets: Any) -> None:
    """A text message gets a sentence, and the connection lives."""
    browser = sockets()
    browser.send("a frame")
    assert "error" in json.loads(browser.recv(5))
    browser.send(jpeg(48, 64))
    assert json.loads(browser.recv(5))["number"] == 1


def test_a_silent_browser_gives_way(sockets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth browser gets the place of the one of four that has sent nothing for longest."""
    monkeypatch.setattr(browser_cameras, "_SILENT_S", 0.2)
    silent, *others = [sockets() for _ in range(4)]
    for other in others:
        other.send(jpeg(48, 64))
        other.recv(5)
    time.sleep(0.25)
    late = sockets()
    with pytest.raises(ConnectionClosed, match="no frame came"):
        silent.recv(5)
    for browser in (*others, late):
        browser.send(jpeg(48, 64))
        assert "label" in json.loads(browser.recv(5))


def test_places_are_free_again(sockets: Any) -> None:
    """A browser that leaves makes room at once, however often browsers come and go."""
    for _ in range(3):
        browsers = [sockets() for _ in range(4)]
        for browser in browsers:
            browser.send(b"none")
            assert "error" in json.loads(browser.recv(5))
        for browser in browsers:
            browser.close()
