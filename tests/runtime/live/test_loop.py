"""The live loop: views, text, region, label smoothing and overlay."""

import threading
import time

import numpy as np
import pytest

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import loop, overlay
from edge_fm_runtime.live.cameras.base import Frame
from edge_fm_runtime.live.loop import FrameResult, LoopSettings
from edge_fm_runtime.live.region import Box, Region
from edge_fm_runtime.live.smoothing import LabelSmoother
from edge_fm_runtime.live.text import TextView
from edge_fm_runtime.status import Status
from tests.runtime.live_fakes import Frames, Recorder, frame, reading


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
        def show(self, reading: FrameResult) -> bool:
            stop.set()
            return True

    assert loop.run(tiny, camera, [Stopping()], LoopSettings(stop=stop)) == 1
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


def test_views_get_a_notice_while_no_frame_comes(tiny: Classifier) -> None:
    """A feed that waits keeps its views alive and says why."""
    view = Recorder()
    assert loop.run(tiny, Frames(0, None, None, 255, notice="camera 0 is lost"), [view]) == 2
    assert view.notices == ["camera 0 is lost"] * 2


def test_text_prints_each_change_once(tiny: Classifier) -> None:
    """The text view prints each change of label once, with the feed's time and messages."""
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
    """The centre is the input's size times a power of two, at least 0.9 of the frame."""
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
    """Pixels outside the region never reach the model, and the result has the region."""
    picture = frame(255, 100, 200)
    picture[:, 150:] = 0
    view = Recorder()

    class Halves(Frames):
        def read(self, wait_s: float) -> list[Frame]:
            return super().read(wait_s) and [Frame(picture, time.monotonic(), 0.0)]

    loop.run(tiny, Halves(0), [view], LoopSettings(region=Region.parse("150,0,50,100")))
    assert view.labels == ["dark"]
    assert view.readings[0].box == Box(150, 0, 50, 100)


def test_a_label_must_hold_before_it_is_shown(tiny: Classifier) -> None:
    """A flicker shorter than the hold is never shown; a change that stays is, once it has held."""
    view = Recorder()
    levels = [0, 0, 255, 0, 0, 255, 255, 255, 255, 255]
    loop.run(tiny, Frames(*levels), [view], LoopSettings(smoother=LabelSmoother(tiny, hold_s=0.25)))
    assert view.labels == ["dark"] * 8 + ["light"] * 2
    assert view.readings[6].prediction.confidence < 0.5


def test_smoothing_goes_by_time_not_by_frames(tiny: Classifier) -> None:
    """After one time constant about 63 % of a change is seen, at any frame rate."""
    for rate in (10, 100):
        steady = LabelSmoother(tiny, smoothing_s=0.5)
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
