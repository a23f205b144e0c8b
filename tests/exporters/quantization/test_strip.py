"""Removal of redundant names, duplicate constants and defaults."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import wardrobe
from edge_fm.demo import samples
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import static, strip
from edge_fm_exporters.sources import keras


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """Return drawn garments, scaled."""
    return UNIT.apply(wardrobe.draw_set(20, 0)[0])


@pytest.fixture(scope="module")
def quantised(images: NDArray[np.float32]) -> ModelProto:
    """Return the seed CNN as the quantiser writes it."""
    return static.quantize(cleanup.clean(keras.load(samples.CHECKOUT / "cnn.keras").convert(17)), images)


def test_it_computes_the_same_with_the_same_kernels(
    quantised: ModelProto, images: NDArray[np.float32], tmp_path: Path
) -> None:
    """Every answer keeps its bits, and onnxruntime finds as many int8 kernels as before."""
    import onnx

    answers, kernels = [], []
    for model in (quantised, strip.strip_redundant(quantised)):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        answers.append(session.run(None, {session.get_inputs()[0].name: images})[0])
        optimised = onnx.load(tmp_path / "optimised.onnx")
        kernels.append(Counter(node.op_type for node in optimised.graph.node))
    np.testing.assert_array_equal(*answers)
    assert kernels[0] == kernels[1]
    assert kernels[0]["QLinearConv"] > 1


def test_it_is_smaller_and_holds_nothing_twice(quantised: ModelProto) -> None:
    """No duplicate constant, quantiser name, default or zero point of 0 remains."""
    import onnx

    before = quantised.SerializeToString()
    made = strip.strip_redundant(quantised)
    assert quantised.SerializeToString() == before
    assert made.ByteSize() < quantised.ByteSize()
    constants = [
        (constant.data_type, tuple(constant.dims), onnx.numpy_helper.to_array(constant).tobytes())
        for constant in made.graph.initializer
    ]
    assert len(constants) == len(set(constants))
    names = [name for node in made.graph.node for name in (node.name, *node.input, *node.output)]
    assert not [name for name in names if "Linear" in name or "quantized" in name]
    assert quantised.metadata_props
    assert not made.metadata_props
    said = {
        (attribute.name, *attribute.ints)
        for node in made.graph.node
        if node.op_type == "Conv"
        for attribute in node.attribute
    }
    assert said
    assert not {name for name, *_ in said} & {"dilations", "group", "strides"}
    assert ("pads", 0, 0, 0, 0) not in said
    held = {name for node in made.graph.node if node.op_type == "Conv" for name in node.input[1:]}
    pairs = [node for node in made.graph.node if node.op_type == "DequantizeLinear"]
    assert all(len(node.input) == (2 if node.output[0] in held else 3) for node in pairs)
    assert held <= {node.output[0] for node in pairs}


def test_what_a_convolution_does_otherwise_is_kept() -> None:
    """Attributes that differ from the defaults stay, and the bits of the answers too."""
    import onnx
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    nodes, constants, name, channels = [], [], "input", 4
    for number, how in enumerate(
        (
            {"strides": [2, 1], "pads": [0, 0, 1, 1], "dilations": [1, 1], "group": 1},
            {"strides": [1, 1], "pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 4},
            {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 2},
        )
    ):
        kernel = rng.normal(size=(channels, channels // int(str(how["group"])), 3, 3)).astype(np.float32)
        constants.append(onnx.numpy_helper.from_array(kernel, f"weights_{number}"))
        nodes.append(helper.make_node("Conv", [name, f"weights_{number}"], [f"conv_{number}"], **how))
        name = f"conv_{number}"
    ends = (
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 4, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 6, 13])],
    )
    model = helper.make_model(
        helper.make_graph(nodes, "three", *ends, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    made = strip.strip_redundant(model)
    told = [{attribute.name for attribute in node.attribute} for node in made.graph.node]
    assert told == [{"strides", "pads"}, {"pads", "dilations", "group"}, {"group"}]
    images = rng.normal(size=(1, 4, 16, 16)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(kept.SerializeToString()).run(None, {"input": images})[0]
        for kept in (model, made)
    ]
    np.testing.assert_array_equal(*answers)
