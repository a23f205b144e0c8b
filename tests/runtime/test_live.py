"""The live feed: cameras, the loop, and what is shown."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live import cameras, loop
from edge_fm_runtime.live.cameras import LiveCamera, Shot, open_camera
from edge_fm_runtime.live.loop import Reading
from edge_fm_runtime.live.text import TextView
from edge_fm_runtime.live.window import draw
from edge_fm_runtime.opencv import cv2


def frame(level: int, height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Return an even grey frame."""
    return np.full((height, width, 3), level, np.uint8)


class Frames:
    """A camera that gives what it was given."""

    def __init__(self, *levels: int) -> None:
        self.left = list(levels)
        self.closed = False

    def read(self) -> Shot | None:
        return Shot(frame(self.left.pop(0)), time.monotonic()) if self.left else None

    def close(self) -> None:
        self.closed = True


class Recorder:
    """A view that keeps readings and may end the loop."""

    def __init__(self, ends_after: int = 1000) -> None:
        self.readings: list[Reading] = []
        self.ends_after = ends_after
        self.closed = False

    def show(self, reading: Reading) -> bool:
        self.readings.append(reading)
        return len(self.readings) < self.ends_after

    def close(self) -> None:
        self.closed = True


def square(tiny: Classifier, level: int) -> NDArray[np.uint8]:
    """Return the tensor of an even frame."""
    return tiny.frame_tensor(frame(level, 100, 100))


def test_every_frame_is_shown_with_its_answer(tiny: Classifier) -> None:
    """Each frame reaches the view with what the model saw and said, and both ends are closed."""
    camera, view = Frames(0, 255), Recorder()
    assert loop.run(tiny, camera, view) == 2
    assert [r.prediction.label for r in view.readings] == ["dark", "light"]
    assert view.readings[1].tensor.max() == 255
    assert view.readings[1].latency_ms > 0
    assert camera.closed
    assert view.closed


def test_the_view_can_end_the_loop(tiny: Classifier) -> None:
    """A closed window stops the feed."""
    assert loop.run(tiny, Frames(0, 0, 0), Recorder(ends_after=2)) == 2


def test_text_says_each_change_once(tiny: Classifier) -> None:
    """One line for each change of label, with unknown said as unknown."""
    lines: list[str] = []
    loop.run(tiny, Frames(0, 0, 255, 255, 180, 0), TextView(lines.append))
    assert [line.split()[2] for line in lines] == ["dark", "light", "unknown", "dark"]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Return a video of ten frames, twenty a second, dark then light."""
    path = tmp_path / "a b.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (160, 160))
    for index in range(10):
        writer.write(frame(0 if index < 5 else 255, 160, 160))
    writer.release()
    return path


def test_a_video_file_plays_to_its_end(tiny: Classifier, video: Path) -> None:
    """Every frame of a file is classified, in order."""
    view = Recorder()
    assert loop.run(tiny, open_camera(str(video), fast=True), view) == 10
    assert [r.prediction.label for r in view.readings] == ["dark"] * 5 + ["light"] * 5


def test_a_file_keeps_its_own_rate(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --fast the loop waits until each frame is due."""
    waits: list[float] = []
    monkeypatch.setattr("edge_fm_runtime.live.cameras.time.sleep", waits.append)
    camera = open_camera(str(video))
    while camera.read() is not None:
        pass
    assert len(waits) == 10
    assert sum(waits[-1:]) == pytest.approx(9 / 20, abs=0.2)


class FakeCapture:
    """Stands for cv2.VideoCapture: no camera exists where tests run."""

    def __init__(self, frames: int, opened: bool = True, period_s: float = 0.002) -> None:
        self.frames, self.opened, self.period_s = frames, opened, period_s
        self.settings: dict[int, float] = {}
        self.released = threading.Event()
        self.given = 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        time.sleep(self.period_s)
        if self.given >= self.frames:
            return False, None
        self.given += 1
        return True, frame(self.given)

    def release(self) -> None:
        self.released.set()


def test_a_slow_reader_sees_the_newest_frame() -> None:
    """Frames that nobody read are dropped and counted, never queued."""
    capture = FakeCapture(50)
    camera = LiveCamera(capture, "camera 0")
    while capture.given < 50:
        time.sleep(0.01)
    time.sleep(0.05)
    shot = camera.read()
    camera.close()
    assert shot is not None
    assert shot.frame_bgr[0, 0, 0] == 50
    assert camera.dropped == 49
    assert capture.released.is_set()


def test_a_silent_camera_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that stops giving frames is reported, not waited for."""
    monkeypatch.setattr(cameras, "_FIRST_FRAME_S", 0.05)
    camera = LiveCamera(FakeCapture(0), "camera 0")
    with pytest.raises(SourceError, match="camera 0 has given no frame"):
        camera.read()
    camera.close()


def test_live_sources_keep_one_frame_in_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is asked to buffer one frame."""
    capture = FakeCapture(1)
    monkeypatch.setattr("edge_fm_runtime.live.cameras.cv2.VideoCapture", lambda _source: capture)
    open_camera("0").close()
    assert capture.settings[cv2.CAP_PROP_BUFFERSIZE] == 1


@pytest.mark.parametrize("source", ["7", "/dev/video77", "no such file.mp4", "rtsp://127.0.0.1:9/none"])
def test_a_source_that_is_not_there(source: str) -> None:
    """Each kind of source that cannot be opened is a sentence with a remedy."""
    with pytest.raises(SourceError):
        open_camera(source)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    """A broken video is refused."""
    path = tmp_path / "x.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceError, match="video"):
        open_camera(str(path))


def test_the_picture_shows_frame_input_and_answer(tiny: Classifier) -> None:
    """The drawn picture holds the frame, the enlarged input beside it, and text below."""
    view = Recorder()
    loop.run(tiny, Frames(255), view)
    picture = draw(view.readings[0])
    assert (picture[:, :400] == 255).all()
    panel = picture[:, 480:]
    inset = panel[12:152, 12:152]
    assert (inset[70, 70] == 255).all()
    assert (inset[5, 70] == 0).all()  # the letterbox that the model sees
    assert len(np.unique(panel[160:])) > 10  # antialiased text
