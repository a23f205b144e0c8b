"""Steps of the edge family's optimizer."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.training.edge.optimizer import muon_with_ema
from edge_fm_exporters.framework import import_keras

RATE = 1e-3


def moved(
    shape: tuple[int, ...], gradients: list[NDArray[np.float32]], optimizer: object
) -> NDArray[np.float32]:
    """Return how far steps along the gradients move a variable."""
    before = np.full(shape, 0.5, np.float32)
    variable = import_keras().Variable(before, name="kernel")
    for gradient in gradients:
        optimizer.apply([gradient], [variable])  # type: ignore[attr-defined]
    return np.asarray(variable) - before


@pytest.mark.train
def test_a_convolution_is_stepped_as_far_in_every_direction() -> None:
    """A direction that a gradient hardly has is stepped along as far as its strongest; by AdamW it is not."""
    rng = np.random.default_rng(0)
    shape = (3, 3, 8, 16)
    left, right = (np.linalg.qr(rng.normal(size=(rows, 16)))[0] for rows in (72, 16))
    gradient = ((left * np.geomspace(1, 0.05, 16)) @ right.T).reshape(shape).astype(np.float32)
    lengths = {}
    for name, optimizer in (
        ("ours", muon_with_ema(RATE, 0.0, 0.9)),
        ("AdamW", import_keras().optimizers.AdamW(RATE, weight_decay=0.0)),
    ):
        step = moved(shape, [gradient], optimizer).reshape(-1, 16)
        lengths[name] = np.abs(np.diag(left.T @ step @ right))
    assert lengths["ours"].max() / lengths["ours"].min() < 2
    assert lengths["AdamW"].max() / lengths["AdamW"].min() > 4


@pytest.mark.train
@pytest.mark.parametrize(("shape", "size"), [((3, 3, 32, 64), 1e-3), ((1, 1, 64, 32), 10.0)])
def test_a_step_of_a_convolution_is_as_long_as_adamws_usually_are(
    shape: tuple[int, ...], size: float
) -> None:
    """A weight moves by a fifth of the learning rate (RMS), whatever its kernel and gradient."""
    gradient = np.random.default_rng(0).normal(0, size, shape).astype(np.float32)
    step = moved(shape, [gradient], muon_with_ema(RATE, 0.0, 0.9))
    assert np.sqrt(np.mean(step**2)) == pytest.approx(0.2 * RATE, rel=0.3)


@pytest.mark.train
@pytest.mark.parametrize("shape", [(3, 3, 1, 24), (7, 7, 32, 1), (64, 10), (24,)])
def test_all_else_is_stepped_by_adamw(shape: tuple[int, ...]) -> None:
    """The first convolution, depthwise kernels, the last layer and biases move as in AdamW."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape).astype(np.float32) for _ in range(3)]
    theirs = moved(shape, gradients, import_keras().optimizers.AdamW(RATE, weight_decay=0.1))
    np.testing.assert_allclose(
        moved(shape, gradients, muon_with_ema(RATE, 0.1, 0.9)), theirs, rtol=1e-4, atol=1e-7
    )


@pytest.mark.train
@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (64, 10)])
def test_every_kernel_decays(shape: tuple[int, ...]) -> None:
    """Weight decay takes its share of each step from kernels of both kinds."""
    none = [np.zeros(shape, np.float32)]
    np.testing.assert_allclose(
        moved(shape, none, muon_with_ema(RATE, 0.1, 0.9)), -0.5 * RATE * 0.1, rtol=1e-2
    )


@pytest.mark.train
def test_the_average_is_kept_beside_the_weights() -> None:
    """The EMA is available after every step, and the weights continue from their own values."""
    keras = import_keras()
    rng = np.random.default_rng(0)
    variable, average = (keras.Variable(np.zeros((3, 3, 4, 4), np.float32)) for _ in range(2))
    optimizer = muon_with_ema(RATE, 0.0, 0.75)
    optimizer.build([variable])
    expected = np.zeros_like(average)
    for step in range(40):
        optimizer.apply([rng.normal(size=variable.shape).astype(np.float32)], [variable])
        now = np.asarray(variable)
        decay = min(0.75, step / (9 + step))
        expected = decay * expected + (1 - decay) * now
    last = np.asarray(variable)
    optimizer.finalize_variable_values([variable])
    optimizer.average_into([average])
    np.testing.assert_array_equal(np.asarray(variable), last)
    np.testing.assert_allclose(np.asarray(average), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.train
def test_a_short_training_keeps_nothing_of_its_random_start() -> None:
    """After 120 steps at a decay of 0.998, the first weights have no share, and the last thirty have most."""
    keras = import_keras()
    variable, average = (keras.Variable(np.zeros(120, np.float32)) for _ in range(2))
    optimizer = muon_with_ema(0.0, 0.0, 0.998)
    optimizer.build([variable])
    for row in np.eye(120, dtype=np.float32):
        variable.assign(row)
        optimizer.apply([np.zeros(120, np.float32)], [variable])
    optimizer.average_into([average])
    shares = np.asarray(average)
    assert shares.sum() == pytest.approx(1, rel=1e-5)
    assert shares[:10].sum() < 1e-6
    assert shares[-30:].sum() > 0.9
