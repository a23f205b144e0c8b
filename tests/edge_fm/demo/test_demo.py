"""The demo, with and without the train extra, with and without a checkout."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edge_fm.demo import run, samples
from edge_fm_exporters.quantization import search
from edge_fm_exporters.quantization.static import Calibration
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2


@pytest.mark.slow
@pytest.mark.train
def test_the_demo_exports_labels_and_classifies_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes labels, a contact sheet and an int8 model, with at least 80 % correct labels."""
    monkeypatch.setattr(search, "Calibration", [Calibration.MINMAX])
    lines: list[str] = []
    result = run.run(tmp_path / "out", lines.append)
    assert result.good
    assert result.pictures == 40
    assert result.right >= 32
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == [
        "cnn.onnx", "contact-sheet.png", "labels.csv",
    ]  # fmt: skip
    assert Classifier.load(tmp_path / "out" / "cnn.onnx").passport.precision.kind is PrecisionKind.INT8
    assert any("240 frames" in line for line in lines)


@pytest.mark.slow
def test_the_demo_needs_neither_the_extra_nor_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package draws the samples and uses the bundled model, with a note."""
    monkeypatch.setattr(samples, "CHECKOUT", tmp_path / "nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    lines: list[str] = []
    result = run.run(tmp_path / "out", lines.append)
    assert result.good
    assert any("skipped" in line and "fashion" in line for line in lines)
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 40
    sheet = cv2.imread(str(tmp_path / "out" / "contact-sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] > 1000


def test_the_samples_equal_those_that_the_code_draws(tmp_path: Path) -> None:
    """Redrawn samples equal the committed ones, except for rounding differences of processors."""
    samples.draw_pictures(tmp_path)
    drawn = {path.name: cv2.imread(str(path)) for path in tmp_path.iterdir()}
    for path in (samples.CHECKOUT / "wardrobe").iterdir():
        committed, again = cv2.imread(str(path)), drawn.pop(path.name)
        assert committed is not None
        assert again is not None
        assert np.abs(committed.astype(int) - again).max() <= 1, path
    assert drawn == {}
