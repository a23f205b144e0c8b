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
    return parity.fp32_shortfall(comparison, max_difference)


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


def flipping(lost: int, gained: int, count: int) -> tuple[parity.Comparison, NDArray[np.int64]]:
    """Return the comparison of a source and a file of which so many pictures only one has right."""
    labels = np.zeros(count, np.int64)
    source, own = np.zeros(count, np.int64), np.zeros(count, np.int64)
    own[:lost] = 1
    source[lost : lost + gained] = 1
    pictures = LabelledImages("drawn", "test", np.zeros((count, 2, 2, 1), np.uint8), labels)
    answers = np.eye(2, dtype=np.float32)
    return parity.compare(answers[source], Answering(answers[own]), pictures), labels


@pytest.mark.parametrize(
    ("flips", "count", "is_refused"),
    [
        ((1, 0), 100, False),  # 0.0100, three times the limit
        ((3, 0), 100, False),
        ((8, 0), 100, True),
        ((60, 52), 1000, False),
        ((40, 4), 1000, True),
        ((3, 0), 500, False),
        ((9, 0), 500, True),
        ((0, 8), 100, False),
    ],
)
def test_int8_is_refused_for_a_loss_beyond_chance(
    flips: tuple[int, int], count: int, is_refused: bool
) -> None:
    """A loss refuses an int8 file only where its whole 95 % interval lies above the limit of 0.003."""
    comparison, labels = flipping(*flips, count)
    found = parity.int8_shortfall(comparison, labels, 0.003)
    assert ("all of it above the limit 0.003" in found) == is_refused


@pytest.mark.parametrize(("differing", "is_refused"), [(1, False), (9, True)])
def test_without_labels_the_share_of_differing_labels_decides(differing: int, is_refused: bool) -> None:
    """One label of 100 that differs refuses nothing, and nine do."""
    comparison, _ = flipping(differing, 0, 100)
    assert bool(parity.int8_shortfall(comparison, None, 0.003)) == is_refused
