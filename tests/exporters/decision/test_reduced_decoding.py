"""The margin below which a reduced-size decode is repeated at full size."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_exporters.decision import reduced_decoding
from edge_fm_exporters.pipeline import export
from edge_fm_exporters.request import ExportRequest
from edge_fm_runtime.artifact import model_file
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Preprocess
from edge_fm_runtime.artifact.passport import Decision
from edge_fm_runtime.artifact.session import OnnxSession
from tests.exporters.test_pipeline import UNIT, save, small


class Linear:
    """Model whose logits are scaled sums over its input; one-hot without a factor."""

    def __init__(self, spec: InputSpec, factor: float) -> None:
        inputs = int(np.prod(spec.shape))
        self.weights = np.random.default_rng(3).normal(0, factor * 28 / inputs**0.5, (inputs, 3))

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = images.reshape(len(images), -1) / 255 @ self.weights
        if not self.weights.any():
            return np.eye(3, dtype=np.float32)[images.sum(axis=(1, 2, 3)) % 3]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 48, 3)])
def test_logits_that_move_twice_as_far_double_the_margin(fit: Fit, shape: tuple[int, int, int]) -> None:
    """Margins grow with the model's logits, for every size, channel count and fit."""
    spec, recipe = InputSpec(*shape), Preprocess(fit=fit)
    one, two = (reduced_decoding.fit(Linear(spec, factor).run, spec, recipe) for factor in (0.5, 1))
    assert min(one) > 0.01
    assert two == pytest.approx(2 * np.array(one), rel=0.05)


def test_coarse_rounding_keeps_a_margin_at_any_size() -> None:
    """A model whose logits are rounded moves when hardly a pixel does, and one that is exact hardly moves."""
    spec, exact = InputSpec(28, 28, 1), Linear(InputSpec(28, 28, 1), 0.02)

    def coarse(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        powers = np.exp(np.rint(np.log(exact.run(images)) * 4) / 4)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    assert (
        reduced_decoding.fit(coarse, spec, Preprocess()).rounding_margin
        > 3 * reduced_decoding.fit(exact.run, spec, Preprocess()).rounding_margin
    )


def test_a_model_of_huge_margins_is_exported_all_the_same() -> None:
    """Stochastic gradient descent leaves margins of hundreds; the passport takes what is measured of them."""

    def steep(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        low = np.where(images.sum(axis=(1, 2, 3)) % 2, 1e-37, 1e-1)
        return np.stack([1 - low, low], axis=1).astype(np.float32)

    doubted = reduced_decoding.fit(steep, InputSpec(28, 28, 1), Preprocess())
    assert doubted.reduced_decode_margin > 100
    assert (
        Decision(
            reduced_decode_margin=doubted.reduced_decode_margin, rounding_margin=doubted.rounding_margin
        ).reduced_decode_margin
        == doubted.reduced_decode_margin
    )


def test_unanimous_votes_leave_the_default_margin() -> None:
    """A tree's all or nothing has no logits to be measured, and is exported all the same."""
    spec = InputSpec(28, 28, 1)
    assert reduced_decoding.fit(Linear(spec, 0).run, spec, Preprocess()) == (
        Decision().reduced_decode_margin,
        Decision().rounding_margin,
    )


@pytest.mark.slow
def test_an_exported_file_carries_its_own_margin(tmp_path: Path) -> None:
    """The passport has the margins that were fitted to the written file."""
    source = save(tmp_path / "m.keras", small)
    passport = export(
        ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT), None
    ).passport
    data = (tmp_path / "m.onnx").read_bytes()
    written = model_file.read_passport(data)
    assert written is not None
    assert written.decision == passport.decision
    measured = reduced_decoding.fit(OnnxSession(data).run, passport.input, passport.preprocess)
    assert (passport.decision.reduced_decode_margin, passport.decision.rounding_margin) == measured
