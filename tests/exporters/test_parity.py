"""Tolerances between a file and its source."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_exporters import ExportRequest, export, parity
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW, UNIT
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.golden import replay
from tests.exporters.networks import save, small


class Answering:
    """A session that gives the same answers whatever it sees."""

    def __init__(self, answers: NDArray[np.float32]) -> None:
        self.answers = answers

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.answers


def lacking(source: list[list[float]], own: list[list[float]], max_difference: float) -> str:
    """Return what a float32 file with these answers lacks."""
    pictures = LabelledImages("drawn", "test", np.zeros((len(source), 2, 2, 1), np.uint8), None)
    given = np.array(source, np.float32)
    comparison = parity.compare(given, Answering(np.array(own, np.float32)), pictures)
    return parity.shortfall(PrecisionKind.FP32, comparison, 0.0, max_difference)


def test_a_label_that_hangs_on_the_last_digit_is_no_other_label() -> None:
    """A tie within float32 rounding is not a differing label."""
    source, own = [[0.400001, 0.4, 0.199999]], [[0.4, 0.400001, 0.199999]]
    assert lacking(source, own, 1e-5) == ""


@pytest.mark.parametrize("max_difference", [1e-5, 1e-3])
def test_another_label_is_refused(max_difference: float) -> None:
    """A differing label beyond float32 rounding is refused, whatever the probabilities."""
    source, own = [[0.4002, 0.3998, 0.2]] * 2, [[0.4002, 0.3998, 0.2], [0.3999, 0.4001, 0.2]]
    assert lacking(source, own, max_difference).startswith(
        "labels agree on 50.0000%" if max_difference == 1e-3 else "probabilities differ by up to 0.0003"
    )


def test_answers_that_are_no_numbers_agree_where_both_are() -> None:
    """A network that answers with no number is compared with its file; a file that alone does so differs."""
    nothing = [[math.nan, math.nan]]
    assert lacking(nothing, nothing, 1e-5) == ""
    assert lacking([[0.5, 0.5]], nothing, 1e-5).startswith("probabilities differ by up to 1")


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-4, 1.0])
def test_rounding_is_that_of_the_network(size: float, tmp_path: Path) -> None:
    """Logits of thousands are allowed the rounding that float32 has there; small ones none."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(64, activation="relu")
    last = keras.layers.Dense(
        10, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(0, size)
    )
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), hidden, last])
    model.save(tmp_path / "model.keras")
    result = export(
        ExportRequest(
            source=tmp_path / "model.keras", output=tmp_path / "m.onnx", labels=tuple("abcdefghij"), scale=RAW
        ),
        None,
    )
    assert (result.passport.precision.rounding > 0) is (size == 1.0)
    assert not [one for one in replay(Classifier.load(tmp_path / "m.onnx")) if one.stage]


@pytest.mark.train
@pytest.mark.slow
def test_golden_inputs_of_a_large_input_are_small(tmp_path: Path) -> None:
    """Eight golden inputs of 224x224 RGB take a small part of a file, and replay."""
    path = save(tmp_path / "m.keras", small, shape=(224, 224, 3))
    result = export(
        ExportRequest(source=path, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT), None
    )
    assert len(result.passport.golden) == 8
    assert result.size_bytes < 60_000
    assert not [one for one in replay(Classifier.load(tmp_path / "m.onnx")) if one.stage]


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        ([[math.nan, math.nan], [0.2, 0.8]], None, "1 of 2 images with no number"),
        ([[0.2, 0.8], [0.3, 0.7]], None, "the same label"),
        ([[0.9, 0.1], [0.2, 0.8]] * 10, [0, 0, 1, 1] * 5, "right on 50.0% of drawn, no more than chance"),
        ([[0.9, 0.1], [0.2, 0.8]] * 10, [0, 1] * 10, ""),
    ],
)
def test_a_source_that_looks_untrained(
    source: list[list[float]], labels: list[int] | None, message: str
) -> None:
    """No numbers, one label for everything, and accuracy at chance are said in a line each."""
    pictures = LabelledImages(
        "drawn",
        "test",
        np.zeros((len(source), 2, 2, 1), np.uint8),
        None if labels is None else np.array(labels),
    )
    given = np.array(source, np.float32)
    lines = parity.doubts(parity.compare(given, Answering(given), pictures), pictures.labels)
    assert [message in line for line in lines] == ([True] if message else [])


def test_one_label_for_all_noise_is_no_doubt() -> None:
    """A sound network may give all noise the same label, and nothing is said."""
    given = np.array([[0.2, 0.8], [0.3, 0.7]], np.float32)
    noise = LabelledImages(parity.NOISE, "drawn", np.zeros((2, 2, 2, 1), np.uint8), None)
    assert parity.doubts(parity.compare(given, Answering(given), noise), None) == ()
