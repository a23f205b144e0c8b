"""A model that is replaced while it runs: taken up whole and verified, refused otherwise, nothing lost between."""

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
    """Return a model file that may be replaced."""
    return Path(shutil.copy(tiny_path, tmp_path / "model.onnx"))


def put(data: bytes, path: Path) -> None:
    """Put a file in place at once, as `mv` does."""
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def looked(watched: HotReloader) -> hot_reload.Reloaded | None:
    """Look twice: a file must look the same twice before it is read."""
    assert watched.look() is None
    return watched.look()


def test_a_whole_new_model_is_taken_up(path: Path, tiny: Classifier) -> None:
    """It is opened after it has looked the same twice, once, and said; until then nothing happens."""
    said: list[str] = []
    watched = HotReloader(str(path), tiny, said.append)
    assert looked(watched) is None
    put(read_model("fashion"), path)
    found = looked(watched)
    assert found is not None
    assert found.classifier.passport.labels == Classifier.load("fashion").passport.labels
    assert found.data == path.read_bytes()
    assert looked(watched) is None
    assert ["verified" in text for text in said] == [True]


@pytest.mark.parametrize("damage", ["half", "one byte", "empty", "no model"])
def test_a_damaged_file_is_refused_and_a_whole_one_after_it_is_not(
    damage: str, path: Path, tiny: Classifier
) -> None:
    """The refusal is said once, the old model goes on, and the next file has its chance."""
    whole = read_model("fashion")
    middle = len(whole) // 2
    broken = {
        "half": whole[:middle],
        "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "no model": b"PK\3\4 an archive",
    }[damage]
    said: list[str] = []
    watched = HotReloader(str(path), tiny, said.append)
    put(broken, path)
    assert looked(watched) is None
    assert looked(watched) is None
    assert len(said) == 1
    assert "refused" in said[0]
    assert watched.current is tiny
    put(whole, path)
    assert looked(watched) is not None


def test_a_model_that_answers_otherwise_here_is_refused(
    path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden input that differs is a refusal that names the stage and the command that says more."""
    results = replay(Classifier.load("fashion"))
    monkeypatch.setattr(
        hot_reload, "replay", lambda _model: [replace(results[0], stage="model"), *results[1:]]
    )
    said: list[str] = []
    watched = HotReloader(str(path), tiny, said.append)
    put(read_model("fashion"), path)
    assert looked(watched) is None
    assert "1 of its golden inputs" in said[0]
    assert "model differs" in said[0]
    assert "edge-fm verify" in said[0]


def test_a_file_that_goes_and_comes_back(path: Path, tiny: Classifier) -> None:
    """While the file is away the old model goes on without a word; what comes back is looked at."""
    said: list[str] = []
    watched = HotReloader(str(path), tiny, said.append)
    path.unlink()
    assert looked(watched) is None
    assert not said
    put(read_model("fashion"), path)
    assert looked(watched) is not None


def test_other_channels_need_a_new_start(path: Path, tiny: Classifier) -> None:
    """A feed that reads only brightness cannot go over to a model of colour."""
    passport = replace(tiny.passport, input=replace(tiny.passport.input, channels=3), golden=())
    old: Any = type("Old", (), {"passport": passport})
    said: list[str] = []
    watched = HotReloader(str(path), old, said.append)
    put(read_model("fashion"), path)
    assert looked(watched) is None
    assert "start again" in said[0]


def test_a_bundled_model_is_not_watched(
    tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that happens to have a bundled model's name is none of it."""
    monkeypatch.chdir(tmp_path)
    watched = HotReloader("fashion", tiny, pytest.fail)
    Path("fashion").write_bytes(b"x")
    assert looked(watched) is None


def test_the_loop_goes_over_between_two_frames(
    path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every frame is answered, by the old model or by the new one, and the new one is used to the end."""
    monkeypatch.setattr(hot_reload, "POLL_S", 0.01)
    watched = HotReloader(str(path), tiny, lambda _text: None)
    seen = Recorder()

    class Camera(Frames):
        def read(self, wait_s: float) -> Any:
            if len(self.left) == 20:
                put(read_model("fashion"), path)
                for _ in range(2000):
                    if watched._next is not watched._current:
                        break
                    os.sched_yield()
                    watched._end.wait(0.005)
            return super().read(wait_s)

    with watched:
        frames = loop.run(tiny, Camera(*[128] * 40), [seen], LoopSettings(reloader=watched))
    assert frames == len(seen.readings) == 40
    names = [reading.prediction.label in tiny.passport.labels for reading in seen.readings]
    assert names == [True] * 20 + [False] * 20
    assert watched.current is not tiny


def test_watching_labels_all_again_by_the_new_model(path: Path, tmp_path: Path) -> None:
    """What was labelled before the model was replaced is labelled by the new one too: one file, one model."""
    pictures = tmp_path / "in"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), frame(200))
    output, said = tmp_path / "labels.csv", []
    model = Model(path.read_bytes())
    current = Classifier.from_bytes(model.data)

    def report(_summary: object) -> None:
        said.append(output.read_text().splitlines()[1].split(",")[2])
        if len(said) == 1:
            put(read_model("fashion"), path)

    watched = HotReloader(str(path), current, lambda _text: None)
    watch.watch(
        model,
        [str(pictures)],
        output,
        Options(workers=1),
        watch.WatchHooks(listener=lambda *_: None, report=report, reloader=watched, rounds=12),
    )
    assert said[0] in current.passport.labels
    assert said[1] in Classifier.load("fashion").passport.labels
    assert len(said) == 2
