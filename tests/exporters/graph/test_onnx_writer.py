"""ONNX files written and extended without the onnx package."""

import numpy as np
import pytest

from edge_fm_exporters.graph import onnx_writer
from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.session import OnnxSession


def _doubling() -> bytes:
    """Return a model from (N, 2, 2, 1) uint8 `image` to twice its (N, 4) `pixels`."""
    nodes = [
        onnx_writer.node("Cast", ["image"], "cast", to=onnx_writer.FLOAT),
        onnx_writer.node("Flatten", ["cast"], "flat", axis=1),
        onnx_writer.node("Mul", ["flat", "two"], "pixels"),
    ]
    return onnx_writer.model(
        nodes,
        {"two": np.array(2, np.float32)},
        onnx_writer.value("image", onnx_writer.UINT8, ["N", 2, 2, 1]),
        onnx_writer.value("pixels", onnx_writer.FLOAT, ["N", 4]),
    )


def test_a_written_model_is_valid_and_computes() -> None:
    """A written model passes the checker of onnx and the guard of the runtime, and computes as written."""
    import onnx

    data = _doubling()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    assert not onnx_file.parse(data).sealed
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    np.testing.assert_array_equal(OnnxSession(data).run(images), 2.0 * images.reshape(2, 4))


def test_nodes_are_appended_to_a_model() -> None:
    """A model with a layer appended computes its own nodes and the layer, and has one output."""
    import onnx

    weights, bias = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.ones(3, np.float32)
    data = onnx_writer.extended(
        _doubling(),
        [onnx_writer.node("Gemm", ["pixels", "weights", "bias"], "scores", alpha=0.5)],
        {"weights": weights, "bias": bias},
        onnx_writer.value("scores", onnx_writer.FLOAT, ["N", 3]),
    )
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["scores"]
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    expected = images.reshape(2, 4).astype(np.float32) @ weights + bias
    np.testing.assert_allclose(OnnxSession(data).run(images), expected, rtol=1e-5)


def test_metadata_of_an_extended_model_stay() -> None:
    """Metadata of a model outlive an appended node."""
    import onnx

    entry = onnx.StringStringEntryProto(key="made-by", value="hand")
    model = onnx.load_from_string(_doubling())
    model.metadata_props.append(entry)
    data = onnx_writer.extended(
        model.SerializeToString(),
        [onnx_writer.node("Softmax", ["pixels"], "shares", axis=1)],
        {},
        onnx_writer.value("shares", onnx_writer.FLOAT, ["N", 4]),
    )
    assert onnx_file.parse(data).metadata == {"made-by": "hand"}


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8])
def test_constants_keep_their_values(kind: type[np.generic]) -> None:
    """A constant reads back with its type, shape and values, of whatever layout in memory."""
    import onnx

    values = np.arange(6).reshape(2, 3).astype(kind).T
    read = onnx.TensorProto.FromString(onnx_writer.tensor("constant", values))
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(read), values)
    assert onnx.numpy_helper.to_array(read).dtype == kind
