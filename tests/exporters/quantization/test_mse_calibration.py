"""Activation ranges with the smallest mean squared error."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import wardrobe
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import mse_calibration, static
from edge_fm_exporters.quantization.static import Calibration, QuantizationSettings
from edge_fm_exporters.sources import keras
from tests.exporters.networks import SEED_CNN


def histogram(values: NDArray[np.floating], whole: tuple[float, float]) -> NDArray[np.int64]:
    """Return the counts that `best_range` takes."""
    return np.histogram(values, 2048, whole)[0].astype(np.int64)


def squared_error(values: NDArray[np.float64], low: float, high: float) -> float:
    """Return the mean squared error of values in 256 levels between two ends, computed one by one."""
    step = (high - low) / 255
    levels = np.clip(np.rint((values - low) / step), 0, 255)
    return float(np.mean((low + levels * step - values) ** 2))


@pytest.mark.parametrize("outliers", [0, 1, 30])
def test_no_other_share_errs_less(outliers: int) -> None:
    """No other share of the range has a smaller rounding and clipping error, within 1 %."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 100_000), rng.uniform(5, 12, outliers)])
    whole = (float(values.min()), float(values.max()))
    taken = squared_error(values, *mse_calibration.best_range(histogram(values, whole), whole))
    others = [squared_error(values, share * whole[0], share * whole[1]) for share in np.linspace(1, 0.4, 61)]
    assert taken <= 1.01 * min(others)
    assert taken < others[0] or outliers == 0


@pytest.mark.parametrize("whole", [(0.0, 6.0), (-3.0, 6.0)])
def test_what_is_used_throughout_is_kept(whole: tuple[float, float]) -> None:
    """Values that fill their range keep nearly all of it."""
    values = np.random.default_rng(0).uniform(*whole, 100_000)
    assert mse_calibration.best_range(histogram(values, whole), whole) == pytest.approx(whole, rel=0.03)


@pytest.mark.parametrize("whole", [(0.0, 0.0), (0.0, 5.0)])
def test_nothing_to_go_by(whole: tuple[float, float]) -> None:
    """An activation that is always zero keeps its range."""
    assert mse_calibration.best_range(np.zeros(2048, np.int64), whole) == whole


def test_an_activation_as_good_as_dead_is_left_as_it_is() -> None:
    """Values so small that float32 has no scale for them are not counted, and their range is kept."""
    values = np.array([0, 1e-41, 9e-41], np.float32)
    whole = (0.0, float(values.max()))
    counts = mse_calibration.histogram(values, whole)
    assert not counts.any()
    assert mse_calibration.best_range(counts, whole) == whole


@pytest.mark.parametrize(
    "whole", [(0.0, 7.0), (-3.0, 4.0), (-5.0, 0.0), (0.0, 1e-30), (0.0, 7e-36), (-1e38, 1e38)]
)
def test_every_value_is_counted_where_it_lies(whole: tuple[float, float]) -> None:
    """The histogram counts every non-zero value once, in its bin or next to its edge."""
    within = np.random.default_rng(0).uniform(*whole, 100_000)
    values = np.concatenate([within, whole, np.zeros(50_000)]).astype(np.float32)
    ends = (float(values.min()), float(values.max()))
    found, right = mse_calibration.histogram(values, ends), histogram(values[values != 0], ends)
    assert found.sum() == right.sum() == np.count_nonzero(values)
    moved = np.cumsum(found - right)  # across each edge
    assert np.abs(moved).max() <= 2
    assert np.abs(moved).sum() < 100


def test_zeros_behind_a_relu_do_not_count() -> None:
    """However often a Relu gives zero, which every range keeps, the range is that of the other values."""
    from onnx import TensorProto, helper

    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 100])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 100])
    one = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [source], [result])
    model = helper.make_model(one, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = np.random.default_rng(0).standard_exponential((2, 500, 100)).astype(np.float32)
    zeros = np.zeros_like(values)
    few, many = (
        mse_calibration.ranges(model, frozenset({"Relu"}), batches)
        for batches in ([*values], [*values, *zeros, *zeros, *zeros])
    )
    assert few == many
    assert 0 == few["y"][0] < few["y"][1] < values.max()


@pytest.mark.slow
def test_each_calibration_is_another() -> None:
    """The calibrations give different files (a bug: one of onnxruntime's chooses among one range)."""
    from onnx import numpy_helper

    model = cleanup.clean(keras.load(SEED_CNN).convert(17))
    images = UNIT.apply(wardrobe.draw_set(20, 0)[0])
    scales = []
    for calibration in Calibration:
        made = static.quantize(model, images, QuantizationSettings(calibration))
        scales.append(
            {
                tensor.name: float(numpy_helper.to_array(tensor))
                for tensor in made.graph.initializer
                if tensor.name.endswith("_scale") and not tensor.dims and "bias" not in tensor.name
            }
        )
    minmax, found, percentile = scales
    assert minmax.keys() == found.keys() == percentile.keys()
    assert any(found[name] != minmax[name] for name in minmax)
    assert any(found[name] != percentile[name] for name in minmax)
    assert all(found[name] <= minmax[name] * 1.0001 for name in minmax)
