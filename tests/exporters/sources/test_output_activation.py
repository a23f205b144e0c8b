"""Outputs of each kind become the same probabilities in the array and in the graph."""

import numpy as np
import pytest

from edge_fm_exporters.sources.output_activation import OutputActivation, output_activation

pytestmark = pytest.mark.train

OUTPUTS = {
    OutputActivation.PROBABILITIES: [[0.25, 0.75], [1.0, 0.0]],
    OutputActivation.LOGITS: [[-3.0, 5.0], [1000.0, -1000.0]],
    OutputActivation.SIGMOIDS: [[0.2, 0.6], [0.0, 0.0]],
    OutputActivation.SIGMOID: [[0.25], [1.0]],
    OutputActivation.LOGIT: [[-80.0], [3.0]],
}


@pytest.mark.parametrize("kind", OutputActivation)
def test_the_graph_answers_as_the_array(kind: OutputActivation) -> None:
    """The appended operators compute what `apply` does, finite for extreme values too."""
    import onnxruntime
    from onnx import TensorProto, checker, helper

    values = np.array(OUTPUTS[kind], np.float32)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", values.shape[1]])
    answered = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", values.shape[1]])
    node = helper.make_node("Identity", ["x"], ["probabilities"])
    graph = helper.make_graph([node], "g", [given], [answered])
    model = kind.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    checker.check_model(model, full_check=True)
    answers = onnxruntime.InferenceSession(model.SerializeToString()).run(["probabilities"], {"x": values})[0]
    np.testing.assert_allclose(answers, kind.apply(values), atol=1e-7)
    assert answers.shape == (2, 2)
    assert np.isfinite(answers).all()


@pytest.mark.parametrize("kind", OutputActivation)
def test_the_kind_is_found(kind: OutputActivation) -> None:
    """The numbers on noise show what kind of outputs a network has."""
    weights = np.random.default_rng(1).normal(size=(16, 1 if kind in {"sigmoid", "logit"} else 4))

    def run(images: np.ndarray) -> np.ndarray:
        logits = images.reshape(len(images), -1) @ weights
        if kind in {OutputActivation.LOGITS, OutputActivation.LOGIT}:
            return logits
        if kind is OutputActivation.PROBABILITIES:
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return np.asarray(0.5 + 0.5 * np.tanh(logits / 2))

    assert output_activation(run, (4, 4, 1)) is kind
