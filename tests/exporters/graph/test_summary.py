"""`edge-fm inspect`: nodes, parameters, multiply-adds and bytes by layer."""

import json

import numpy as np
import pytest

from edge_fm.demo import samples
from edge_fm_exporters.graph import cleanup, uint8_input
from edge_fm_exporters.graph.summary import summarise
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.sources import keras
from edge_fm_runtime.artifact.model_file import read_model
from tests.conftest import RunCli

pytestmark = pytest.mark.train


def test_the_seed_cnn_layer_by_layer() -> None:
    """Parameters as Keras counts them, multiply-adds as one does by hand, four bytes for each parameter."""
    source = keras.load(samples.CHECKOUT / "cnn.keras")
    model = uint8_input.with_uint8_input(cleanup.clean(source.convert(17)), source.spec, UNIT)
    found = {layer.name: layer for layer in summarise(model.SerializeToString()).layers}
    assert found["conv_1"].multiply_adds == 28 * 28 * 32 * 3 * 3
    assert found["conv_2"].multiply_adds == 14 * 14 * 64 * 3 * 3 * 32
    assert found["gemm_1"].multiply_adds == 3136 * 100
    assert found["conv_2"].output_shape == (64, 14, 14)
    assert sum(layer.parameters for layer in found.values()) == 333_526
    assert sum(layer.size_bytes for layer in found.values()) == 4 * 333_526
    assert {layer.arithmetic for layer in found.values()} == {"", "float32"}


def test_the_bundled_model_is_int8() -> None:
    """Its weights are a byte each, whatever stands between them and their layer."""
    found = summarise(read_model("fashion"))
    weighted = [layer for layer in found.layers if layer.parameters]
    assert {layer.operator for layer in weighted} == {"Conv", "Gemm"}
    assert sum(layer.arithmetic == "int8" for layer in weighted) >= len(weighted) - 1
    assert found.nodes == sum(found.kinds.values()) > len(found.layers)


def test_a_file_that_does_not_tell_its_shapes() -> None:
    """Nothing is said of a convolution whose output is not known."""
    found = summarise(one_convolution(12, 12, 1, np.int8, shaped=False))
    assert found.layers[0].output_shape == ()


def one_convolution(
    inputs: int, outputs: int, groups: int, dtype: type[np.generic], *, shaped: bool = True
) -> bytes:
    """Return a file of one convolution, float32 or dequantised, with or without shapes."""
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.ones((outputs, inputs // groups, 3, 3), dtype)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 9, 9] if shaped else None)
        for name, channels in (("image", inputs), ("sum", outputs))
    ]
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["sum"], "conv", group=groups, pads=[1] * 4)]
    constants = [numpy_helper.from_array(kernel, "kernel")]
    if dtype is np.int8:
        constants = [
            numpy_helper.from_array(kernel, "levels"),
            numpy_helper.from_array(np.array(1, np.float32), "step"),
        ]
        nodes.insert(0, helper.make_node("DequantizeLinear", ["levels", "step"], ["kernel"]))
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


def test_the_command_shows_them(cli: RunCli) -> None:
    """A row for each layer, and all of them in JSON."""
    shown = cli("inspect", "fashion")
    assert "multiply-adds" in shown.out
    assert "conv_1" in shown.out
    graph_found = json.loads(cli("inspect", "fashion", "--json").out)["graph"]
    assert graph_found["nodes"] == summarise(read_model("fashion")).nodes


def test_a_device_without_onnx(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passport is shown, and what the layers need is said."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    shown = cli("inspect", "fashion")
    assert shown.code == 0
    assert "Ankle boot" in shown.out
    assert "need the onnx package" in shown.err
