"""Small ONNX networks as PyTorch, tf2onnx and sklearn-onnx write them, and their exports' answers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.onnx_graph import set_ir_version

CONVOLUTION = "c = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w) r = Relu(c) "
NCHW = CONVOLUTION + "f = Flatten(r) y = Gemm(f, d, b)"
"""What PyTorch writes for two layers."""

NHWC = "x0 = Transpose<perm = [0, 3, 1, 2]>(i) " + NCHW.replace("(x, w)", "(x0, w)")
"""What tf2onnx writes for the same."""

BAKED = CONVOLUTION + "f = Reshape(r, target) y = Gemm(f, d, b)"
"""The same with its batch of one in a constant, as a trace at a fixed size leaves it."""


def constants() -> dict[str, NDArray[Any]]:
    """Return the constants that the networks name."""
    rng = np.random.default_rng(0)
    shapes = {
        "w": (4, 3, 3, 3),
        "d": (64, 5),
        "b": (5,),
        "v": (192, 5),
        "p": (64, 5),
        "one": (64, 1),
        "b1": (1,),
    }
    found: dict[str, NDArray[Any]] = {
        name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()
    }
    found["target"] = np.array([1, -1])
    found["mean"] = np.array([0.4, 0.5, 0.6], np.float32).reshape(1, 3, 1, 1)
    found["deviation"] = np.array([0.2, 0.3, 0.4], np.float32).reshape(1, 3, 1, 1)
    return found


def foreign(
    body: str = NCHW, *, given: str = "float[N,3,8,8] x", answered: str = "float[N,5] y", opset: int = 17
) -> Any:
    """Return a model of ONNX's text form whose free names are `constants`."""
    from onnx import numpy_helper, parser

    text = f'<ir_version: 8, opset_import: ["": {opset}, "ai.onnx.ml": 3]> g ({given}) => ({answered}) {{ {body} }}'
    model = parser.parse_model(text)
    named = set(re.findall(r"\w+", body))
    for name, value in constants().items():
        if name in named:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    set_ir_version(model)
    return model


def save(path: Path, model: Any, **metadata: str) -> Path:
    """Write a model with metadata, and return its path."""
    from onnx import helper

    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def run(model: Any, values: NDArray[Any]) -> list[Any]:
    """Return the outputs of a model in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: values}))


def exported(source: SourceModel, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of a source's converted and cleaned graph."""
    return np.asarray(run(cleanup.clean(source.convert(17)), images)[0])


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities of logits."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def noise(count: int, *shape: int) -> NDArray[np.float32]:
    """Return images in [0, 1]."""
    return np.random.default_rng(1).random((count, *shape), np.float32)
