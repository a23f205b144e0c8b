"""Make tiny.onnx: a model whose answer is known for every picture, so that runner tests are instant and exact.

It answers "light" with the mean grey level as its probability, and "dark" with the rest.

    python tests/data/make_tiny_model.py
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253  # a script

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.artifact.passport import KEY, Decision, Evidence, Golden, Passport, Precision, Provenance
from edge_fm_runtime.image.opencv import cv2

HERE = Path(__file__).resolve().parent
SPEC = InputSpec(28, 28, 1)


def make_graph() -> bytes:
    """Return the model without a passport."""
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"], axis=1),
        helper.make_node("ReduceMean", ["flat"], ["light"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["one", "light"], ["dark"]),
        helper.make_node("Concat", ["dark", "light"], ["probabilities"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.float32(1 / 255), "scale"),
        numpy_helper.from_array(np.uint8(0), "zero"),
        numpy_helper.from_array(np.float32(1), "one"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *SPEC.shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def make_passport() -> Passport:
    """Return its passport, with eight grey squares as golden inputs."""
    golden = []
    for level in range(0, 256, 32):
        tensor = np.full(SPEC.shape, level, np.uint8)
        light = level / 255
        row = (1 - light, light)
        golden.append(Golden(cv2.imencode(".png", tensor)[1].tobytes(), tensor.tobytes(), row, row))
    return Passport(
        labels=("dark", "light"),
        input=SPEC,
        preprocess=Preprocess(),
        decision=Decision(unknown_below=0.6, coverage=0.9),
        precision=Precision(),
        evidence=(Evidence("squares", "drawn", 8, 1.0, 1.0, 1.0, 0.0),),
        golden=tuple(golden),
        provenance=Provenance(
            "make_tiny_model.py", "0" * 64, (("onnx", "any"),), "2026-01-01", "squares", "MIT"
        ),
    )


if __name__ == "__main__":
    (HERE / "tiny.onnx").write_bytes(onnx_file.with_metadata(make_graph(), {KEY: make_passport().to_json()}))
    (HERE / "bare.onnx").write_bytes(make_graph())
