"""The live feed: the loop, the region, steady answers, and the sources."""

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
from edge_fm_runtime.inputs import InputSpec
from edge_fm_runtime.live import grabber, loop, overlay
from edge_fm_runtime.live.camera import Shot
from edge_fm_runtime.live.cameras import CameraSettings, open_camera
from edge_fm_runtime.live.files import VideoFile
from edge_fm_runtime.live.grabber import LiveCamera
from edge_fm_runtime.live.loop import Reading
from edge_fm_runtime.live.mjpeg import MjpegPipe
from edge_fm_runtime.live.region import Box, Region
from edge_fm_runtime.live.steady import Steady
from edge_fm_runtime.live.text import TextView
from edge_fm_runtime.opencv import cv2
from edge_fm_runtime.status import Status
from tests.runtime.live_fakes import Frames, Recorder, frame, reading

FAST = CameraSettings(fast=True)


def test_every_frame_is_shown_with_its_answer(tiny: Classifier) -> None:
    """Each frame reaches every view with what the model saw and said, and all are closed."""
    camera, views = Frames(0, 255), [Recorder(), Recorder()]
    assert loop.run(tiny, camera, views) == 2
    for view in views:
        assert view.labels == ["dark", "light"]
        assert view.readings[1].tensor.max() == 255
        assert view.readings[1].latency_ms > 0
        assert view.closed
    assert camera.closed


def test_any_view_can_end_the_loop(tiny: Classifier) -> None:
    """A closed window stops the feed, and the views after it still get that frame."""
    log = Recorder()
    assert loop.run(tiny, Frames(0, 0, 0), [Recorder(ends_after=2), log]) == 2
    assert len(log.readings) == 2


def test_a_signal_can_end_the_loop(tiny: Classifier) -> None:
    """An event set from outside stops the feed and closes everything."""
    stop, camera = threading.Event(), Frames(*[0] * 100)

    class Stopping(Recorder):
        def show(self, reading: Reading) -> bool:
            stop.set()
            return True

    assert loop.run(tiny, camera, [Stopping()], stop=stop) == 1
    assert camera.closed


def test_a_view_that_cannot_close_leaves_nothing_open(tiny: Classifier) -> None:
    """The camera and the other views are closed also when one view fails at it."""

    class Failing(Recorder):
        def close(self) -> None:
            raise OSError("no room")

    camera, last = Frames(0), Recorder()
    with pytest.raises(OSError, match="no room"):
        loop.run(tiny, camera, [Failing(), last])
    assert camera.closed
    assert last.closed


def test_views_are_told_while_no_frame_comes(tiny: Classifier) -> None:
    """A feed that waits keeps its views alive and says why."""
    view = Recorder()
    assert loop.run(tiny, Frames(0, None, None, 255, notice="camera 0 is lost"), [view]) == 2
    assert view.notices == ["camera 0 is lost"] * 2


def test_text_says_each_change_once(tiny: Classifier) -> None:
    """One line for each change of label, at the feed's own time, with unknown said as unknown; and what is new of the source."""
    lines: list[str] = []
    notes: list[str] = []
    camera = Frames(0, 0, None, None, 255, 255, 180, 0, notice="lost")
    loop.run(tiny, camera, [TextView(lines.append, notes.append)])
    assert [line.split()[2] for line in lines] == ["dark", "light", "unknown", "dark"]
    assert [line.split()[0] for line in lines] == ["0.00", "0.40", "0.60", "0.70"]
    assert notes == ["lost", "frames again"]


@pytest.mark.parametrize(
    ("text", "size", "box"),
    [
        ("full", (640, 480), Box(0, 0, 640, 480)),
        ("centre", (640, 480), Box(80, 0, 480, 480)),
        ("centre", (480, 640), Box(0, 80, 480, 480)),
        ("10,20,30,40", (640, 480), Box(10, 20, 30, 40)),
        ("600,400,100,100", (640, 480), Box(540, 380, 100, 100)),
        ("0,0,900,900", (640, 480), Box(0, 0, 640, 480)),
        ("5,5,1,1", (640, 480), Box(5, 5, 8, 8)),
        ("0,0,50,50", (4, 3), Box(0, 0, 4, 3)),
    ],
)
def test_a_region_lies_within_any_frame(text: str, size: tuple[int, int], box: Box) -> None:
    """A region is cut or moved to fit, so that a camera that changes its size never ends the feed."""
    assert Region.parse(text).box(*size) == box


@pytest.mark.parametrize(
    ("size", "shorter", "side"),
    [
        (28, 480, 448),
        (28, 720, 672),
        (28, 1080, 1008),
        (28, 240, 224),
        (28, 30, 28),
        (28, 33, 33),
        (28, 20, 20),
        (96, 480, 480),
        (224, 1080, 1080),
        (64, 479, 448),
    ],
)
def test_the_centre_is_what_halving_brings_to_the_input(size: int, shorter: int, side: int) -> None:
    """It is the input's side times a power of two, or nearly, and never under nine tenths of the frame's shorter side."""
    region = Region.parse("centre")
    region.suit(InputSpec(size, size, 1))
    assert region.box(2 * shorter, shorter) == Box(
        (2 * shorter - side) // 2, (shorter - side) // 2, side, side
    )
    region.suit(InputSpec(size, size + 1, 1))
    assert region.box(shorter, 2 * shorter).width == shorter


@pytest.mark.parametrize("text", ["middle", "1,2,3", "1,2,0,4", "1,2,3,-4", "", "1,2,3,4,5"])
def test_a_region_that_is_none(text: str) -> None:
    """A wrong region is a sentence with an example."""
    with pytest.raises(SourceError, match="80,0,480,480"):
        Region.parse(text)


def test_only_the_region_is_classified(tiny: Classifier) -> None:
    """What lies outside the region does not reach the model, and the reading says which part did."""
    picture = frame(255, 100, 200)
    picture[:, 150:] = 0
    view = Recorder()

    class Halves(Frames):
        def read(self, wait_s: float) -> list[Shot]:
            return super().read(wait_s) and [Shot(picture, time.monotonic(), 0.0)]

    loop.run(tiny, Halves(0), [view], Region.parse("150,0,50,100"))
    assert view.labels == ["dark"]
    assert view.readings[0].box == Box(150, 0, 50, 100)


def test_a_label_must_hold_before_it_is_shown(tiny: Classifier) -> None:
    """A flicker shorter than the hold is never shown; a change that stays is, once it has held."""
    view = Recorder()
    levels = [0, 0, 255, 0, 0, 255, 255, 255, 255, 255]
    loop.run(tiny, Frames(*levels), [view], steady=Steady(tiny, hold_s=0.25))
    assert view.labels == ["dark"] * 8 + ["light"] * 2
    assert view.readings[6].prediction.confidence < 0.5


def test_smoothing_goes_by_time_not_by_frames(tiny: Classifier) -> None:
    """After one time constant about 63 % of a change is seen, at any frame rate."""
    for rate in (10, 100):
        steady = Steady(tiny, smoothing_s=0.5)
        dark, light = (
            tiny.probabilities(tiny.frame_tensor(frame(level))[np.newaxis])[0] for level in (0, 255)
        )
        steady.answer(dark, 0.0)
        for step in range(1, rate // 2 + 1):
            said = steady.answer(light, step / rate)
        seen = (dict(said.ranking)["light"] - dark[1]) / (light[1] - dark[1])
        assert seen == pytest.approx(1 - np.exp(-1), abs=0.01)


@pytest.mark.parametrize(
    "size",
    [(480, 480), (448, 448), (672, 672), (480, 640), (720, 1280), (1080, 1920), (333, 517), (224, 224)],
)
def test_a_frame_is_the_picture_within_two_grey_levels(tiny: Classifier, size: tuple[int, int]) -> None:
    """Halving a large frame first changes no grey by more than two levels against one area resize."""
    rng = np.random.default_rng(size[1])
    picture = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), dtype=np.uint8), (0, 0), 1.5)
    done, encoded = cv2.imencode(".png", picture)
    assert done
    exact = tiny.tensor(encoded.tobytes()).astype(int)
    assert np.abs(tiny.frame_tensor(picture) - exact).max() <= 2


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
    """A video's luma plane, with foot room or without, gives what its colours give, within two grey levels."""
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
    """Where the first frame does not prove it, frames come in colour."""
    monkeypatch.setattr("edge_fm_runtime.live.luma._LIMITED", np.full(256, 99, np.uint8))
    monkeypatch.setattr("edge_fm_runtime.live.luma._FULL", np.full(256, 99, np.uint8))
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


def test_frames_that_are_answered_together_are_told_one_by_one(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat out a few frames go through the model at once; each has its own reading, in order, and a view can end between them."""
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


class FakeCapture:
    """Stands for cv2.VideoCapture: no camera exists where tests run."""

    def __init__(self, *reads: int | None, opened: bool = True, period_s: float = 0.002) -> None:
        self.reads, self.opened, self.period_s = list(reads), opened, period_s
        self.settings: dict[int, float] = {}
        self.released = threading.Event()

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        time.sleep(self.period_s)
        level = self.reads.pop(0) if self.reads else None
        return (False, None) if level is None else (True, frame(level))

    def release(self) -> None:
        self.released.set()


def live(*captures: FakeCapture) -> LiveCamera:
    """Return a live camera that opens these one after the other, the last one again and again."""
    left = list(captures)
    return LiveCamera(lambda: left.pop(0) if len(left) > 1 else left[0], "camera 0", "plug it in")


def next_level(camera: LiveCamera, wait_s: float = 5.0) -> int:
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
    monkeypatch.setattr(grabber, "FIRST_FRAME_S", 0.05)
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
    monkeypatch.setattr(grabber, "_LOST_S", 0.05)
    monkeypatch.setattr(grabber, "_FIRST_WAIT_S", 0.05)
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
    waits = grabber._growing_waits()
    assert [next(waits) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_cameras_are_asked_for_what_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, rate, compressed frames and one buffer reach the driver."""
    capture = FakeCapture(1)
    monkeypatch.setattr("edge_fm_runtime.live.cameras.cv2.VideoCapture", lambda *_: capture)
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
    """Pictures are cut out of the stream whatever the chunks and the rubbish between; a damaged one is passed over."""
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


def test_the_picture_shows_frame_region_input_and_answer() -> None:
    """The drawn picture holds the frame with its region, the enlarged input, the label and the bars."""
    told = reading(200)
    picture = overlay.draw(told)
    assert picture.shape == (480, 640 + 210, 3)
    assert (picture[240, 4 * 20 : 4 * 20 + 2] == overlay._KNOWN).all()
    panel = picture[:, 640:]
    assert (panel[80, 80] == 200).all()
    assert len(np.unique(panel[160:])) > 10  # antialiased text
    bar = panel[284, 14:196]
    assert np.mean((bar == overlay._KNOWN).all(axis=1)) == pytest.approx(0.75, abs=0.05)


def test_a_mirror_turns_the_frame_only() -> None:
    """Mirrored, the frame is turned and the panel can still be read."""
    told = reading(200, status=Status.UNKNOWN, height=480)
    plain, mirrored = overlay.draw(told), overlay.draw(told, mirror=True)
    assert (plain[:, :160] == mirrored[:, :160][:, ::-1]).all()
    assert (plain[:, 160:] == mirrored[:, 160:]).all()


def test_the_feed_has_one_camera_thread_less_when_closed() -> None:
    """A closed camera leaves no thread behind."""
    before = threading.active_count()
    camera = live(FakeCapture(*range(50)))
    assert threading.active_count() == before + 1
    camera.close()
    assert threading.active_count() == before
