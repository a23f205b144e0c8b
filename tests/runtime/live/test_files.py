"""Live feed from videos, folders of images and JPEGs on a pipe."""

import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import loop
from edge_fm_runtime.live.cameras.files import VideoFile
from edge_fm_runtime.live.cameras.mjpeg import MjpegPipe
from edge_fm_runtime.live.cameras.opening import CameraSettings, open_camera
from tests.runtime.live_fakes import FakeCapture, Recorder, frame

FAST = CameraSettings(fast=True)


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
    """Every frame of a file is classified, in order, at its own time."""
    view = Recorder()
    assert loop.run(tiny, open_camera(str(video), FAST), [view]) == 10
    assert view.labels == ["dark"] * 5 + ["light"] * 5
    assert [r.at_s for r in view.readings] == pytest.approx([n / 20 for n in range(10)])


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG")])
def test_grey_frames_are_those_of_the_colours(
    tiny: Classifier, tmp_path: Path, suffix: str, codec: str
) -> None:
    """The luma plane equals the grey conversion within two levels."""
    path = tmp_path / f"x{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 20, (320, 240))
    rng = np.random.default_rng(0)
    for _ in range(5):
        coarse = rng.integers(40, 200, (12, 16, 3), dtype=np.uint8)
        writer.write(np.asarray(cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8))
    writer.release()
    seen = []
    for grey in (False, True):
        view = Recorder()
        assert loop.run(tiny, open_camera(str(path), CameraSettings(fast=True, grey=grey)), [view]) == 5
        seen.append(np.stack([told.tensor for told in view.readings]).astype(int))
    assert view.readings[0].frame_bgr.shape == (240, 320)
    assert np.abs(seen[0] - seen[1]).max() <= 2


def test_a_plane_that_is_not_the_grey_picture_is_not_used(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A luma plane that the first frame disproves is not used."""
    monkeypatch.setattr("edge_fm_runtime.live.cameras.luma._LIMITED", np.full(256, 99, np.uint8))
    monkeypatch.setattr("edge_fm_runtime.live.cameras.luma._FULL", np.full(256, 99, np.uint8))
    camera = open_camera(str(video), CameraSettings(fast=True, grey=True))
    assert camera.read(1.0)[0].frame_bgr.shape == (160, 160, 3)
    camera.close()


def test_a_truncated_video_gives_what_it_has(tiny: Classifier, tmp_path: Path) -> None:
    """Half a video is half a feed, not an error."""
    path = tmp_path / "x.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (160, 160))
    for _ in range(40):
        writer.write(frame(0, 160, 160))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < loop.run(tiny, open_camera(str(path), FAST), [Recorder()]) < 40


@pytest.mark.slow
def test_a_file_keeps_its_own_rate(tmp_path: Path) -> None:
    """A frame comes when it is due, not before, and a reader that was held up is not rushed after it."""
    path = tmp_path / "slow.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 1, (160, 160))
    for _ in range(5):
        writer.write(frame(0, 160, 160))
    writer.release()
    camera = open_camera(str(path))
    assert len(camera.read(5.0)) == 1
    assert camera.read(0.0) == []
    time.sleep(2.5)
    assert len(camera.read(0.0)) == 1
    assert camera.read(0.0) == []
    camera.close()


def test_frames_of_a_batch_reach_the_views_one_by_one(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of one inference have their own results in order, and a view can end between them."""
    levels = [0, 255] * 20

    class Ready(FakeCapture):
        def get(self, _key: int) -> float:
            return 20.0

    sizes: list[int] = []
    real = tiny.probabilities

    def counted(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(images))
        return real(images)

    monkeypatch.setattr(tiny, "probabilities", counted)
    for ends_after, told in ((1000, 40), (7, 7)):
        camera, view = VideoFile(Ready(*levels, period_s=0), "x.mp4", fast=True), Recorder(ends_after)
        time.sleep(0.1)
        assert loop.run(tiny, camera, [view]) == told
        assert view.labels == (["dark", "light"] * 20)[:told]
        assert [reading.number for reading in view.readings] == list(range(1, told + 1))
    assert max(sizes) > 1


@pytest.mark.timeout(20)
def test_a_decoder_that_fails_ends_the_feed(tiny: Classifier) -> None:
    """A decoder that raises in mid-file ends the feed like the end of the file; it does not hang."""

    class Failing(FakeCapture):
        def get(self, _key: int) -> float:
            return 20.0

        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            if not self.reads:
                raise cv2.error("broken")
            return super().read()

    assert loop.run(tiny, VideoFile(Failing(1, 2), "x.mp4", fast=True), [Recorder()]) == 2


@pytest.mark.slow
@pytest.mark.timeout(20)
def test_a_decoder_that_hangs_can_be_stopped(tiny: Classifier) -> None:
    """A file whose next frame never comes keeps the loop alive, and closing it does not hang."""
    released = threading.Event()

    class Hanging(FakeCapture):
        def get(self, _key: int) -> float:
            return 20.0

        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            if not self.reads:
                released.wait()
            return super().read()

    class Impatient(Recorder):
        def wait(self, notice: str) -> bool:
            super().wait(notice)
            return len(self.notices) < 3

    view = Impatient()
    assert loop.run(tiny, VideoFile(Hanging(1), "x.mp4", fast=True), [view]) == 1
    assert len(view.notices) == 3
    released.set()


def test_a_folder_is_a_slide_show(tiny: Classifier, tmp_path: Path) -> None:
    """The pictures of a folder come in order of their names; one that is broken is passed over and said."""
    for name, level in (("b.png", 255), ("a.png", 0)):
        cv2.imwrite(str(tmp_path / name), frame(level))
    (tmp_path / "aa.jpg").write_bytes(b"\xff\xd8\xff broken")
    camera, view = open_camera(str(tmp_path), FAST), Recorder()
    loop.run(tiny, camera, [view])
    assert view.labels == ["dark", "light"]
    assert "aa.jpg" in camera.notice


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    """A folder with nothing to show is refused, whether empty or full of something else."""
    with pytest.raises(SourceError, match="no file"):
        open_camera(str(tmp_path))
    (tmp_path / "x.txt").write_text("no picture")
    with pytest.raises(SourceError, match="no picture"):
        open_camera(str(tmp_path), FAST).read(1)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    """A broken video is refused."""
    path = tmp_path / "x.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceError, match="video"):
        open_camera(str(path))


def jpeg(level: int) -> bytes:
    """Return an even frame as a JPEG."""
    done, encoded = cv2.imencode(".jpg", frame(level))
    assert done
    return encoded.tobytes()


def test_jpegs_on_a_pipe_are_frames() -> None:
    """JPEGs are cut out of a stream whatever its chunks and garbage; damaged ones are skipped."""
    broken = bytearray(jpeg(9))
    del broken[300:400]
    stream = b"rubbish" + jpeg(10) + bytes(broken) + b"\xff" + jpeg(200) + jpeg(30)[:-2]
    reading_end, writing_end = os.pipe()
    writer = threading.Thread(target=_dribble, args=(writing_end, stream))
    writer.start()
    pipe = MjpegPipe(reading_end)
    levels = []
    while pipe.isOpened():
        read, picture = pipe.read()
        if read and picture is not None:
            levels.append(int(picture[60, 80, 0]))
    writer.join()
    os.close(reading_end)
    assert levels[0] == pytest.approx(10, abs=2)
    assert levels[-1] == pytest.approx(200, abs=2)


def _dribble(descriptor: int, data: bytes) -> None:
    stream = io.BytesIO(data)
    while chunk := stream.read(97):
        os.write(descriptor, chunk)
    os.close(descriptor)
