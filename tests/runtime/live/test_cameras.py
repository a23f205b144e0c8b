"""Live feed from cameras: the newest frame, lost cameras, missing cameras."""

import threading
import time

import pytest

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.cameras import camera_stream
from edge_fm_runtime.live.cameras.camera_stream import CameraStream
from edge_fm_runtime.live.cameras.opening import CameraSettings, open_camera
from tests.runtime.live_fakes import FakeCapture


def live(*captures: FakeCapture) -> CameraStream:
    """Return a live camera that opens these one after the other, the last one again and again."""
    left = list(captures)
    return CameraStream(lambda: left.pop(0) if len(left) > 1 else left[0], "camera 0", "plug it in")


def next_level(camera: CameraStream, wait_s: float = 5.0) -> int:
    """Return the grey of the next frame."""
    (shot,) = camera.read(wait_s)
    return int(shot.frame_bgr[0, 0, 0])


def test_a_slow_reader_sees_the_newest_frame() -> None:
    """Frames that nobody read are dropped and counted, never queued."""
    capture = FakeCapture(*range(1, 51))
    camera = live(capture)
    while capture.reads:
        time.sleep(0.01)
    time.sleep(0.05)
    assert next_level(camera) == 50
    camera.close()
    assert camera.dropped == 49
    assert capture.released.is_set()


def test_a_silent_camera_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that was opened but never gives a frame is reported, not waited for."""
    monkeypatch.setattr(camera_stream, "FIRST_FRAME_S", 0.05)
    camera = live(FakeCapture())
    time.sleep(0.1)
    with pytest.raises(SourceError, match="camera 0 gave no frame"):
        camera.read(0.01)
    camera.close()


def test_a_damaged_frame_is_no_unplug() -> None:
    """A frame that cannot be decoded is passed over on the same connection."""
    capture = FakeCapture(1, None, None, 2, period_s=0.03)
    camera = live(capture)
    assert [next_level(camera), next_level(camera)] == [1, 2]
    assert camera.reconnects == 0
    camera.close()


def test_a_lost_camera_is_picked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After silence the source is let go and opened anew until it answers; meanwhile the loss is said."""
    monkeypatch.setattr(camera_stream, "_LOST_S", 0.05)
    monkeypatch.setattr(camera_stream, "_FIRST_WAIT_S", 0.05)
    lost, away, back = FakeCapture(1), FakeCapture(opened=False), FakeCapture(2)
    camera = live(lost, away, away, back)
    assert next_level(camera) == 1
    for _ in range(1000):
        if camera.notice:
            break
        time.sleep(0.005)
    assert "camera 0 is lost" in camera.notice
    assert next_level(camera) == 2
    assert camera.notice == ""
    assert camera.reconnects == 3
    assert lost.released.is_set()
    camera.close()


def test_waits_grow_to_half_a_minute() -> None:
    """A source that stays away is asked for less and less often, but always again."""
    waits = camera_stream._growing_waits()
    assert [next(waits) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_cameras_are_asked_for_what_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, rate, compressed frames and one buffer reach the driver."""
    capture = FakeCapture(1)
    monkeypatch.setattr("edge_fm_runtime.live.cameras.opening.cv2.VideoCapture", lambda *_: capture)
    open_camera("0", CameraSettings(size=(800, 600), rate=15)).close()
    assert capture.settings == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 800,
        cv2.CAP_PROP_FRAME_HEIGHT: 600,
        cv2.CAP_PROP_FPS: 15,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }


@pytest.mark.parametrize("source", ["7", "/dev/video77", "no such file.mp4", "rtsp://127.0.0.1:9/none"])
def test_a_source_that_is_not_there(source: str) -> None:
    """Each kind of source that cannot be opened is a sentence with a remedy."""
    with pytest.raises(SourceError):
        open_camera(source)


def test_a_password_stays_out_of_messages() -> None:
    """A stream's user and password are not printed."""
    with pytest.raises(SourceError) as caught:
        open_camera("rtsp://me:secret@127.0.0.1:9/feed?key=secret")
    assert "secret" not in str(caught.value)


def test_the_feed_has_one_camera_thread_less_when_closed() -> None:
    """A closed camera leaves no thread behind."""
    before = threading.active_count()
    camera = live(FakeCapture(*range(50)))
    assert threading.active_count() == before + 1
    camera.close()
    assert threading.active_count() == before
