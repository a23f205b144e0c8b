"""Tolerances between a file and its source."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_exporters import parity
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_runtime.artifact.passport import PrecisionKind


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
