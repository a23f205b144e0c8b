"""Hot reload: a replaced model is verified and used, or refused, and no image is lost."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_fm_runtime import hot_reload
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.batch import watch
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.golden import replay
from edge_fm_runtime.hot_reload import HotReloader
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import loop
from edge_fm_runtime.live.loop import LoopSettings
from tests.runtime.live_fakes import Frames, Recorder, frame


@pytest.fixture
def path(tiny_path: Path, tmp_path: Path) -> Path:
    """Return a model file that a test can replace."""
    return Path(shutil.copy(tiny_path, tmp_path / "model.onnx"))


def put(data: bytes, path: Path) -> None:
    """Replace a file atomically, as `mv` does."""
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def check_twice(reloader: HotReloader) -> hot_reload.Reloaded | None:
    """Check twice: a file is read when two checks in a row find it the same."""
    assert reloader.check() is None
    return reloader.check()


def test_a_new_model_is_loaded(path: Path, tiny: Classifier) -> None:
    """A new file is opened once, after two checks have found it the same, with a notice."""
    notices: list[str] = []
    reloader = HotReloader(str(path), tiny, notices.append)
    assert check_twice(reloader) is None
    put(read_model("fashion"), path)
    found = check_twice(reloader)
    assert found is not None
    assert found.classifier.passport.labels == Classifier.load("fashion").passport.labels
    assert found.data == path.read_bytes()
    assert check_twice(reloader) is None
    assert ["verified" in text for text in notices] == [True]


def test_an_unexpected_exception_does_not_end_the_reload(
    path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw is notified once, and the next file is loaded."""

    def fail(*_arguments: object) -> Classifier:
        raise OverflowError("int too large")

    notices: list[str] = []
    reloader = HotReloader(str(path), tiny, notices.append)
    put(read_model("fashion"), path)
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "from_bytes", fail)
        assert check_twice(reloader) is None
        assert check_twice(reloader) is None
    assert len(notices) == 1
    assert "OverflowError: int too large" in notices[0]
    put(read_model("digits"), path)
    assert check_twice(reloader) is not None


@pytest.mark.parametrize("damage", ["half", "one byte", "empty", "no model"])
def test_a_damaged_file_is_refused_and_a_good_one_after_it_is_not(
    damage: str, path: Path, tiny: Classifier
) -> None:
    """A refusal is notified once, the old model stays in use, and the next file is loaded."""
    whole = read_model("fashion")
    middle = len(whole) // 2
    broken = {
        "half": whole[:middle],
        "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "no model": b"PK\3\4 an archive",
    }[damage]
    notices: list[str] = []
    reloader = HotReloader(str(path), tiny, notices.append)
    put(broken, path)
    assert check_twice(reloader) is None
    assert check_twice(reloader) is None
    assert len(notices) == 1
    assert "refused" in notices[0]
    assert reloader.current is tiny
    put(whole, path)
    assert check_twice(reloader) is not None


def test_a_model_that_fails_its_golden_inputs_is_refused(
    path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the stage that differs and the command for details."""
    results = replay(Classifier.load("fashion"))
    monkeypatch.setattr(
        hot_reload, "replay", lambda _model: [replace(results[0], stage="model"), *results[1:]]
    )
    notices: list[str] = []
    reloader = HotReloader(str(path), tiny, notices.append)
    put(read_model("fashion"), path)
    assert check_twice(reloader) is None
    assert "1 of its golden inputs" in notices[0]
    assert "model differs" in notices[0]
    assert "edge-fm verify" in notices[0]


def test_a_file_that_disappears_and_returns(path: Path, tiny: Classifier) -> None:
    """Without the file the old model stays in use, without a notice; a new file is loaded."""
    notices: list[str] = []
    reloader = HotReloader(str(path), tiny, notices.append)
    path.unlink()
    assert check_twice(reloader) is None
    assert not notices
    put(read_model("fashion"), path)
    assert check_twice(reloader) is not None


def test_other_channels_need_a_restart(path: Path, tiny: Classifier) -> None:
    """A feed of grey frames cannot switch to a model of colour images."""
    passport = replace(tiny.passport, input=replace(tiny.passport.input, channels=3), golden=())
    old: Any = type("Old", (), {"passport": passport})
    notices: list[str] = []
    reloader = HotReloader(str(path), old, notices.append)
    put(read_model("fashion"), path)
    assert check_twice(reloader) is None
    assert "restart" in notices[0]


def test_a_bundled_model_has_no_file(
    tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the name of a bundled model is not its replacement."""
    monkeypatch.chdir(tmp_path)
    reloader = HotReloader("fashion", tiny, pytest.fail)
    Path("fashion").write_bytes(b"x")
    assert check_twice(reloader) is None


def test_the_loop_switches_between_two_frames(
    path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every frame is classified, by the old model or the new one, which stays in use."""
    monkeypatch.setattr(hot_reload, "POLL_S", 0.01)
    reloader = HotReloader(str(path), tiny, lambda _text: None)
    seen = Recorder()

    class Camera(Frames):
        def read(self, wait_s: float) -> Any:
            if len(self.left) == 20:
                put(read_model("fashion"), path)
                for _ in range(2000):
                    if reloader._next is not reloader._current:
                        break
                    os.sched_yield()
                    reloader._end.wait(0.005)
            return super().read(wait_s)

    with reloader:
        frames = loop.run(tiny, Camera(*[128] * 40), [seen], LoopSettings(reloader=reloader))
    assert frames == len(seen.readings) == 40
    names = [reading.prediction.label in tiny.passport.labels for reading in seen.readings]
    assert names == [True] * 20 + [False] * 20
    assert reloader.current is not tiny


@pytest.mark.slow
def test_watching_labels_everything_again(path: Path, tmp_path: Path) -> None:
    """After a replacement all images are labelled again: the rows of a file are from one model."""
    images = tmp_path / "in"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), frame(200))
    output, labels = tmp_path / "labels.csv", []
    model = Model(path.read_bytes())
    current = Classifier.from_bytes(model.data)

    def report(_summary: object) -> None:
        labels.append(output.read_text().splitlines()[1].split(",")[2])
        if len(labels) == 1:
            put(read_model("fashion"), path)

    reloader = HotReloader(str(path), current, lambda _text: None)
    watch.watch(
        model,
        [str(images)],
        output,
        Options(workers=1),
        watch.WatchHooks(listener=lambda *_: None, report=report, reloader=reloader, rounds=12),
    )
    assert labels[0] in current.passport.labels
    assert labels[1] in Classifier.load("fashion").passport.labels
    assert len(labels) == 2
