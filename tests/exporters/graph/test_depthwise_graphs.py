"""Cleaned graphs of depthwise-separable networks."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.graph.editing import only_consumer
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT, OUTPUT
from tests.exporters.networks import as_onnx, inverted_residuals

COLOUR = InputSpec(32, 32, 3)

pytestmark = pytest.mark.train


def cleaned(network: Any) -> Any:
    """Return the cleaned graph of a network after it was found to answer as its source does."""
    import onnxruntime

    model = cleanup.clean(as_onnx(network, COLOUR))
    images = np.random.default_rng(0).uniform(-1, 1, (5, *COLOUR.shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (own,) = session.run([OUTPUT], {INPUT: images})
    assert np.abs(own - np.asarray(network(images, training=False))).max() < 1e-5
    return model


def test_a_mobilenet_has_only_what_it_computes() -> None:
    """Normalisations and paddings are part of the convolutions, and one Transpose is left."""
    model = cleaned(inverted_residuals())
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds == {
        "Transpose": 1,
        "Conv": 10,
        "Clip": 7,
        "Add": 1,
        "GlobalAveragePool": 1,
        "Squeeze": 1,
        "Gemm": 1,
        "Softmax": 1,
    }
    for node in model.graph.node:  # as onnxruntime fuses them
        if node.op_type == "Clip":
            maker = next(other for other in model.graph.node if node.input[0] in other.output)
            assert maker.op_type == "Conv"
            assert only_consumer(model.graph, maker.output[0]) is not None


def test_a_padding_of_another_number_than_zero_is_kept() -> None:
    """A convolution pads with zeros, so a padding with ones stays a node of its own."""
    kinds = [node.op_type for node in cleaned(inverted_residuals(pad_value=1)).graph.node]
    assert "Pad" in kinds
