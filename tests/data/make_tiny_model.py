"""Make small models whose answer is known for every image, so that runner tests are instant and exact.

Each answers "light" with the mean grey level as its probability, and "dark" with the rest.

    tiny.onnx                        28 x 28 pixels, passport of version 1, eight golden inputs
    bare.onnx                        the same graph without a passport
    passport_v1.onnx ... _v7.onnx    8 x 8 pixels, one passport of each version, two golden inputs

    python tests/data/make_tiny_model.py
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253  # a script

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.passport import KEY
from edge_fm_runtime.image.opencv import cv2

HERE = Path(__file__).resolve().parent
TINY, SMALL = InputSpec(28, 28, 1), InputSpec(8, 8, 1)

BASIC = {"temperature": 2.0, "unknown_below": 0.6, "coverage": 0.9}
GROUPED = {**BASIC, "groups": [["dark", "light"]]}
FROM_VOTES = {**GROUPED, "calibrated": False}
SCORES = [1.0, 0.5, -0.5]
"""A bias, and a weight for each label, of the known-class score."""

DECISIONS: dict[int, dict[str, Any]] = {
    1: BASIC,
    2: GROUPED,
    3: FROM_VOTES,
    4: {**FROM_VOTES, "familiarity": SCORES},
    5: {**FROM_VOTES, "familiarity": SCORES, "doubt": 1.5, "rounding": 0.25},
    6: {
        **FROM_VOTES,
        "known_class_weights": SCORES,
        "reduced_decode_margin": 1.5,
        "rounding_margin": 0.25,
    },
}
DECISIONS[7] = DECISIONS[6]
"""The decision of each version of the passport, with the keys that version had."""

TRANSLATED = 3
"""The first version with translations."""

DEFLATED = 7
"""The first version with deflated tensors and with the effect of rounding."""

ROUNDING = 2e-5

PREPROCESS_2 = 4
"""The first version of which every file has the second version of the preprocessing."""


PREPROCESS = {
    "grey": "bt601",
    "fit": "letterbox",
    "fill": 0,
    "interpolation": "area",
    "polarity": "as-is",
    "exif": "apply",
    "alpha": "over-fill",
}
EVIDENCE = {
    "data": "squares",
    "split": "drawn",
    "images": 8,
    "source_accuracy": 1.0,
    "accuracy": 1.0,
    "label_agreement": 1.0,
    "max_probability_difference": 0.0,
}
PROVENANCE = {
    "source": "make_tiny_model.py",
    "source_sha256": "0" * 64,
    "tools": [["onnx", "any"]],
    "created": "2026-01-01",
    "data": "squares",
    "licence": "MIT",
}


def make_graph(spec: InputSpec) -> bytes:
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
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *spec.shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def make_golden(version: int, spec: InputSpec, level: int) -> dict[str, Any]:
    """Return an even grey square as a golden input."""
    tensor = np.full(spec.shape, level, np.uint8)
    light = level / 255
    stored = base64.b64encode(tensor.tobytes()).decode()
    if version >= DEFLATED:
        stored = "z:" + base64.b64encode(zlib.compress(tensor.tobytes(), 9)).decode()
    return {
        "image": base64.b64encode(cv2.imencode(".png", tensor)[1].tobytes()).decode(),
        "tensor": stored,
        "source": [1 - light, light],
        "own": [1 - light, light],
    }


def make_passport(version: int, spec: InputSpec, decision: dict[str, Any], levels: range) -> str:
    """Return the JSON of a passport, key by key as that version of edge-fm wrote it."""
    passport: dict[str, Any] = {
        "labels": ["dark", "light"],
        "input": {
            "height": spec.height,
            "width": spec.width,
            "channels": 1,
            "dtype": "uint8",
            "layout": "NHWC",
        },
        "preprocess": {"version": 2 if version >= PREPROCESS_2 else 1, **PREPROCESS},
        "decision": decision,
        "precision": {"kind": "fp32", "settings": []},
        "evidence": [EVIDENCE],
        "golden": [make_golden(version, spec, level) for level in levels],
        "provenance": PROVENANCE,
        "version": version,
    }
    if version >= TRANSLATED:
        passport["translations"] = [{"language": "ko", "labels": ["어두움", "밝음"]}]
    if version >= DEFLATED:
        passport["precision"] = {"kind": "fp32", "settings": [], "rounding": ROUNDING}
    return json.dumps(passport, separators=(",", ":"))


def main() -> None:
    """Write every file beside this script."""
    tiny = {"temperature": 1.0, "unknown_below": 0.6, "coverage": 0.9}
    passport = make_passport(1, TINY, tiny, range(0, 256, 32))
    (HERE / "tiny.onnx").write_bytes(onnx_file.with_metadata(make_graph(TINY), {KEY: passport}))
    (HERE / "bare.onnx").write_bytes(make_graph(TINY))
    for version, decision in DECISIONS.items():
        passport = make_passport(version, SMALL, decision, range(51, 256, 153))
        path = HERE / f"passport_v{version}.onnx"
        path.write_bytes(onnx_file.with_metadata(make_graph(SMALL), {KEY: passport}))


if __name__ == "__main__":
    main()
