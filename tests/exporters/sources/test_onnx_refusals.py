"""Foreign ONNX files that cannot be used are refused with what was found and the way on."""

import os
from pathlib import Path
from typing import Any

import pytest

from edge_fm_exporters.sources import load
from edge_fm_runtime.errors import ModelError
from tests.exporters.onnx_networks import NCHW, foreign, save

pytestmark = pytest.mark.train

REFUSED: dict[str, tuple[Any, str]] = {
    "two inputs": (
        lambda: foreign(
            "s = Add(x, x2) f = Flatten(s) y = Gemm(f, v, b)", given="float[N,3,8,8] x, float[N,3,8,8] x2"
        ),
        "takes 'x'.*'x2'.*expected one input",
    ),
    "text": (
        lambda: foreign("y = Cast<to = 1>(x)", given="int64[N,128] x", answered="float[N,128] y"),
        r"tensor\(int64\).*images of float",
    ),
    "detector": (
        lambda: foreign("y = Transpose<perm = [0, 2, 3, 1]>(x)", answered="float[N,8,8,3] y"),
        r"float32 \(3, 8, 8, 3\), expected float \(N, classes\)",
    ),
    "label alone": (
        lambda: foreign(NCHW + " z = ArgMax<axis = 1, keepdims = 0>(y)", answered="int64[N] z"),
        "labels alone",
    ),
    "two heads": (
        lambda: foreign(NCHW + " z = Neg(y)", answered="float[N,5] y, float[N,5] z"),
        r"2 of these could be the classes.*extract_model",
    ),
    "loop": (
        lambda: foreign(
            "k = Constant<value = bool {1}>() f = Flatten(x) m = MatMul(f, v) "
            "y = If<then_branch = t () => (float[N,5] o) { o = Identity(m) }, "
            "else_branch = e () => (float[N,5] q) { q = Neg(m) }>(k)"
        ),
        "If",
    ),
    "training": (
        lambda: foreign(
            "r = Constant<value = float {0.5}>() t = Constant<value = bool {1}>() o = Dropout(x, r, t) f = Flatten(o) "
            "y = Gemm(f, v, b)"
        ),
        r"model.eval\(\)",
    ),
    "quantised": (
        lambda: foreign(
            "s = Constant<value = float {0.1}>() q = QuantizeLinear(x, s) e = DequantizeLinear(q, s) f = Flatten(e) "
            "y = Gemm(f, v, b)"
        ),
        "quantised already.*--int8",
    ),
    "huge": (
        lambda: foreign(
            "n = Constant<value_ints = [60000, 60000]>() h = ConstantOfShape(n) m = ReduceMean<keepdims = 0>(h) "
            "f = Flatten(x) g = Gemm(f, v, b) y = Add(g, m)"
        ),
        "3,600,000,000 numbers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_classifier(name: str, tmp_path: Path) -> None:
    """Networks that are no plain float classifier of images are refused with what was found."""
    build, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        load(save(tmp_path / "m.onnx", build()))


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _claims(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**16, 2**15]


def _contrib(model: Any) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)
    model.graph.node[1].op_type, model.graph.node[1].domain = "Gelu", "com.microsoft"


def _custom(model: Any) -> None:
    model.graph.node[1].domain = "org.example"


def _passport(model: Any) -> None:
    model.metadata_props.add(key="edge_fm.passport", value="{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_external, "weights in another file.*external_data=False"),
        (_claims, "its dimensions say 8,589,934,592"),
        (_contrib, "onnxruntime's own"),
        (_custom, "org.example"),
        (_passport, "by edge-fm already.*edge-fm verify"),
    ],
)
def test_unsafe_or_finished_files(damage: Any, message: str, tmp_path: Path) -> None:
    """A file that reads others, claims more than it holds, or needs foreign code is refused first."""
    model = foreign()
    damage(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "m.onnx.data").write_bytes(b"")
    with pytest.raises(ModelError, match=message):
        load(path)


@pytest.mark.parametrize("content", ["random", "cut", "empty", "sparse"])
def test_damaged_files(content: str, tmp_path: Path) -> None:
    """Bytes that are no whole model are a sentence, and a file of 3 GB is not read."""
    path = save(tmp_path / "m.onnx", foreign())
    data = path.read_bytes()
    if content == "sparse":
        os.truncate(path, 3 * 2**30)
    else:
        path.write_bytes({"random": os.urandom(500), "cut": data[: len(data) // 2], "empty": b""}[content])
    with pytest.raises(ModelError):
        load(path)
