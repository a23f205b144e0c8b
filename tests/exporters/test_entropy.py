"""The ranges of activations that lose least information."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import samples, wardrobe
from edge_fm_exporters import entropy, graph, keras, quantize
from edge_fm_exporters.quantize import Calibration, Recipe
from edge_fm_exporters.scale import UNIT

SEED_CNN = samples.CHECKOUT / "cnn.keras"


def histogram(values: NDArray[np.float64], whole: tuple[float, float]) -> NDArray[np.float64]:
    """Return the counts that `best_range` takes."""
    return np.histogram(values, 2048, whole)[0].astype(float)


def test_a_lonely_value_is_clipped() -> None:
    """One value far from all others does not widen the steps of the others."""
    values = np.append(np.random.default_rng(0).normal(0, 1, 100_000), 30.0)
    low, high = entropy.best_range(histogram(values, (-30, 30)), (-30, 30))
    assert (low, high) == pytest.approx((-12, 12))


@pytest.mark.parametrize("whole", [(0.0, 6.0), (-3.0, 6.0)])
def test_what_is_used_throughout_is_kept(whole: tuple[float, float]) -> None:
    """Values that fill their range keep all of it."""
    values = np.random.default_rng(0).uniform(*whole, 100_000)
    assert entropy.best_range(histogram(values, whole), whole) == pytest.approx(whole, rel=0.03)


@pytest.mark.parametrize("whole", [(0.0, 0.0), (0.0, 5.0)])
def test_nothing_to_go_by(whole: tuple[float, float]) -> None:
    """An activation that is always zero keeps its range."""
    assert entropy.best_range(np.zeros(2048), whole) == whole


def test_zeros_behind_a_relu_do_not_count() -> None:
    """Half of a Relu's values are zeros; they do not have the rest of its range cut away."""
    from onnx import TensorProto, helper

    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 100])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 100])
    one = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [source], [result])
    model = helper.make_model(one, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = np.random.default_rng(0).normal(0, 1, (2, 500, 100)).astype(np.float32)
    found = entropy.ranges(model, frozenset({"Relu"}), list(values))
    assert found == {"y": pytest.approx((0, values.max()), rel=0.2)}
    counts = histogram(np.maximum(values, 0).astype(float), (0, values.max()))
    assert entropy.best_range(counts, (0, float(values.max())))[1] < values.max() / 2  # were they to count


def test_entropy_is_not_minmax_by_another_name() -> None:
    """The calibrations give different files (a bug: onnxruntime's entropy chooses among one range)."""
    from onnx import numpy_helper

    model = graph.clean(keras.load(SEED_CNN).convert(17))
    images = UNIT.applied(wardrobe.draw_set(20, 0)[0])
    scales = []
    for calibration in Calibration:
        made = quantize.quantize(model, images, Recipe(calibration))
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
