"""Cleaning a graph keeps its answers: scalings are folded where they are one of channels."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.sources import load
from tests.exporters.onnx_networks import NCHW, exported, foreign, noise, run, save, softmax

pytestmark = pytest.mark.train


def test_scaling_behind_the_transpose_is_folded(tmp_path: Path) -> None:
    """A normalisation for each channel becomes part of the scale; nothing of it is left in the graph."""
    body = "a = Sub(x, mean) n = Div(a, deviation) " + NCHW.replace("(x, w)", "(n, w)")
    source = load(save(tmp_path / "m.onnx", foreign(body)))
    graph, scale = cleanup.without_scaling(cleanup.clean(source.convert(17)), UNIT)
    assert {"Sub", "Div"}.isdisjoint({node.op_type for node in graph.graph.node})
    np.testing.assert_allclose(scale.mean, [102, 127.5, 153], atol=1e-3)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    wanted = source.predict(UNIT.apply(pixels))
    np.testing.assert_allclose(run(graph, scale.apply(pixels))[0], wanted, atol=1e-5)


def test_a_scaling_along_the_height_stays(tmp_path: Path) -> None:
    """A constant for each row is no scale of channels, though there are as many."""
    from onnx import numpy_helper

    body = "n = Mul(x, rows) f = Flatten(n) y = Gemm(f, e, b)"
    model = foreign(body, given="float[N,3,3,8] x")
    rng = np.random.default_rng(0)
    for name, shape in (("rows", (3, 1)), ("e", (72, 5))):
        model.graph.initializer.append(numpy_helper.from_array(rng.random(shape, np.float32), name))
    source = load(save(tmp_path / "m.onnx", model))
    graph, scale = cleanup.without_scaling(cleanup.clean(source.convert(17)), UNIT)
    assert (scale, "Mul" in {node.op_type for node in graph.graph.node}) == (UNIT, True)


def test_dense_layers_of_a_sequence_stay_products(tmp_path: Path) -> None:
    """A product of patches, as in a transformer, is not made a Gemm, which takes rows only."""
    from onnx import numpy_helper

    body = (
        "s = Reshape(x, patches) m = MatMul(s, k) a = Add(m, b) y = ReduceMean<axes = [1], keepdims = 0>(a)"
    )
    model = foreign(body)
    for name, value in (("patches", np.array([0, 16, 12])), ("k", noise(12, 5))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    images = noise(3, 8, 8, 3)
    source = load(save(tmp_path / "m.onnx", model))
    wanted = softmax(run(model, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0])
    np.testing.assert_allclose(exported(source, images), wanted, atol=1e-5)
