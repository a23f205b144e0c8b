"""Craft model files that a stranger might give to edge-fm; for `abuse.py`."""

import base64
import itertools
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx  # noqa: TID253  # a script, which starts slowly anyway
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.artifact.onnx_file import parse, with_metadata
from edge_fm_runtime.artifact.passport import KEY
from edge_fm_runtime.artifact.protobuf import encode_bytes, encode_varint

SIDE, CLASSES = 28, 10

_LARGE = 2**40
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _VALUE_INFO = 1, 5, 13

Nodes = list[onnx.NodeProto]
Constants = dict[str, Any]


def write_models(folder: Path) -> list[Path]:
    """Write crafted `.onnx` files; most have the passport of the bundled model fashion, which fits them."""
    passport = parse(read_model("fashion")).metadata[KEY]
    sealed = {KEY: passport}
    files = {f"run-{name}": with_metadata(_model(*added), sealed) for name, added in _graphs()}
    files |= {f"tensor-{name}": with_metadata(_with(_INITIALIZER, raw), sealed) for name, raw in _tensors()}
    files |= {f"wire-{name}": data for name, data in _wires(sealed)}
    files |= {f"passport-{name}": with_metadata(_model(), {KEY: text}) for name, text in _passports(passport)}
    return write(folder, files, ".onnx") + special(folder, ".onnx")


def write(folder: Path, files: Mapping[str, bytes], suffix: str) -> list[Path]:
    """Write files by name and return their paths."""
    paths = [folder / f"{name}{suffix}" for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    return paths


def special(folder: Path, suffix: str) -> list[Path]:
    """Make a pipe, a folder, a device and a file of 3 GB, and return their paths."""
    pipe, place, device, large = (folder / f"{name}{suffix}" for name in ("pipe", "folder", "zero", "large"))
    os.mkfifo(pipe)
    place.mkdir()
    device.symlink_to("/dev/zero")
    with large.open("wb") as file:
        file.truncate(3 * 2**30)
    return [pipe, place, device, large]


def _graph(nodes: Nodes, constants: Constants) -> onnx.GraphProto:
    """Return a classifier: the mean of an image, nodes that make `value` of it, a dense layer, a softmax."""
    ending = [
        helper.make_node("Reshape", ["value", "row"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "most"], ["feature"]),
    ]
    return helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
            *nodes,
            *(ending if nodes else []),
            helper.make_node("MatMul", ["feature" if nodes else "mean", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"]),
        ],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in {
                **constants,
                "weights": np.ones((1, CLASSES), np.float32),
                "row": np.array([1, -1]),
            }.items()
        ],
    )


def _model(nodes: Nodes | None = None, constants: Constants | None = None, version: int = 17) -> bytes:
    graph = _graph(nodes or [], constants or {})
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def _with(number: int, payload: bytes, times: int = 1) -> bytes:
    """Return the plain model with a field added to its graph, several times if wanted."""
    model = onnx.load_from_string(_model())
    body = model.graph.SerializeToString() + encode_bytes(number, payload) * times
    model.ClearField("graph")
    return bytes(model.SerializeToString()) + encode_bytes(_GRAPH, body)


def _node(operator: str, *inputs: str, **attributes: Any) -> Nodes:  # noqa: ANN401  # as onnx takes them
    return [helper.make_node(operator, list(inputs), ["value"], **attributes)]


def _chain(operator: str, length: int, second: str | None = None, **attributes: Any) -> Nodes:  # noqa: ANN401
    """Return nodes in a row, each of whose inputs are the one before and another, by default it again."""
    names = ["start", *(f"step_{number}" for number in range(length - 1)), "value"]
    return [
        helper.make_node(operator, [before, second or before], [after], **attributes)
        for before, after in itertools.pairwise(names)
    ]


def _loop(operator: str) -> tuple[Nodes, Constants]:
    """Return a node that runs a graph of its own 2^62 times, or as long as a condition holds."""
    info = helper.make_tensor_value_info
    again, value = info("again", TensorProto.BOOL, []), info("inner", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["go_on"]),
            helper.make_node("Identity", ["inner"], ["outer"]),
        ],
        "body",
        [info("number", TensorProto.INT64, []), again, value],
        [info("go_on", TensorProto.BOOL, []), info("outer", TensorProto.FLOAT, None)],
    )
    constants = {"count": np.array(2**62), "condition": np.array(True)}
    if operator == "Loop":
        return _node("Loop", "count", "condition", "mean", body=body), constants
    if operator == "Scan":
        return _node("Scan", "mean", body=body, num_scan_inputs=1), constants
    if operator == "SequenceMap":
        return _node("SequenceMap", "mean", body=body), constants
    branch = helper.make_graph(_loop("Loop")[0], "branch", [], [info("value", TensorProto.FLOAT, None)])
    return _node("If", "condition", then_branch=branch, else_branch=branch), constants


def _graphs() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield nodes that never end or ask for much more memory than they have bytes, each with constants."""
    one, size, plane = np.ones(1, np.float32), np.array([_LARGE]), np.ones((1, 1, 4, 4), np.float32)
    for operator in ("Loop", "Scan", "If", "SequenceMap"):
        yield operator.lower(), _loop(operator)
    ones = helper.make_tensor("ones", TensorProto.FLOAT, [1], [1.0])
    yield "constant-of-shape", (_node("ConstantOfShape", "size", value=ones), {"size": size})
    yield "expand", (_node("Expand", "mean", "size"), {"size": np.array([1, _LARGE])})
    yield "expand-constant", (_node("Expand", "one", "size"), {"one": one, "size": size})
    yield "tile", (_node("Tile", "mean", "size"), {"size": np.array([1, _LARGE])})
    bounds = {"low": np.float32(0), "high": np.float32(_LARGE), "step": np.float32(1)}
    yield "range", (_node("Range", *bounds), bounds)
    yield "pad", (_node("Pad", "mean", "size"), {"size": np.array([0, 0, 0, _LARGE])})
    scales = {"plane": plane, "scales": np.array([1, 1, 1e6, 1e6], np.float32)}
    yield "resize", (_node("Resize", "plane", "", "scales"), scales)
    hot = {"index": np.array([1]), "depth": np.array(_LARGE), "values": np.array([0, 1], np.float32)}
    yield "one-hot", (_node("OneHot", *hot), hot)
    yield "random", (_node("RandomUniform", shape=[2**20, 2**20]), {})
    yield "window", (_node("HannWindow", "long"), {"long": np.array(_LARGE)})
    upscaled = _node("ConvTranspose", "plane", "kernel", strides=[2**20, 2**20])
    yield "conv-transpose", (upscaled, {"plane": plane, "kernel": plane})
    wide = _node("Conv", "plane", "kernel", pads=[2**20] * 4)
    yield "conv-pads", (wide, {"plane": plane, "kernel": plane})
    yield "concat-constant", (_chain("Concat", 36, axis=0), {"start": one})
    begin = helper.make_node("Identity", ["mean"], ["start"])
    yield "concat", ([begin, *_chain("Concat", 36, axis=1)], {})
    column = {"column": np.ones((2**18, 1), np.float32), "line": np.ones((1, 2**18), np.float32)}
    yield "outer", (_node("Add", "column", "line"), column)
    yield "outer-product", (_node("MatMul", "column", "line"), column)
    text = np.array(["abcdefgh" * 8], object)
    joined = [*_chain("StringConcat", 36), helper.make_node("Cast", ["value"], ["number"], to=1)]
    yield "string-concat", (joined, {"start": text}, 20)
    square = helper.make_node("Expand", ["mean", "square"], ["start"])
    yield "slow-matmul", ([square, *_chain("MatMul", 200)], {"square": np.array([4000, 4000])})
    fixed = helper.make_node("ConstantOfShape", ["square"], ["start"], value=ones)
    yield "slow-folding", ([fixed, *_chain("MatMul", 200)], {"square": np.array([3000, 3000])})
    kernel = np.ones((96, 96, 31, 31), np.float32)
    planes = helper.make_node("Expand", ["plane", "large"], ["planes"])
    slow = [planes, *_node("Conv", "planes", "kernel", pads=[15] * 4)]
    constants = {"plane": one.reshape(1, 1, 1, 1), "large": np.array([1, 96, 512, 512]), "kernel": kernel}
    yield "slow-conv", (slow, constants)
    yield (
        "nonzero",
        (
            [helper.make_node("Expand", ["mean", "size"], ["many"]), *_node("NonZero", "many")],
            {"size": np.array([2**14, 2**14])},
        ),
    )
    yield (
        "unique",
        (
            [helper.make_node("RandomUniform", [], ["many"], shape=[2**27]), *_node("Unique", "many")],
            {},
        ),
    )
    yield "unknown-operator", (_node("Nonsense", "mean"), {})
    yield "unknown-version", ([], {}, 999)
    yield "circle", ([*_node("Add", "other", "mean"), helper.make_node("Abs", ["value"], ["other"])], {})
    yield "missing-input", (_node("Add", "nothing", "mean"), {})
    yield "wrong-reshape", (_node("Reshape", "mean", "odd"), {"odd": np.array([7, 13])})


def _tensor(dims: list[int], kind: int = TensorProto.FLOAT, **fields: bytes) -> bytes:
    """Return an initialiser with any sizes; `raw` and the other values as their bytes."""
    numbers = {"raw": 9, "floats": 4, "integers": 5, "longs": 7, "texts": 6}
    data = b"".join(encode_varint(1 << 3) + encode_varint(size % 2**64) for size in dims)
    data += encode_varint(2 << 3) + encode_varint(kind) + encode_bytes(8, b"extra")
    return data + b"".join(encode_bytes(numbers[name], value) for name, value in fields.items())


def _tensors() -> Iterator[tuple[str, bytes]]:
    """Yield initialisers whose sizes contradict their values."""
    yield "more-dims", _tensor([1000, 1000], raw=bytes(4))
    yield "fewer-dims", _tensor([1], raw=bytes(4000))
    yield "negative", _tensor([-4], raw=bytes(4))
    yield "twice-negative", _tensor([-2, -2], raw=bytes(16))
    yield "huge", _tensor([_LARGE, _LARGE], raw=bytes(4))
    yield "overflow", _tensor([2**32, 2**32], raw=b"")
    yield "beyond", _tensor([2**63], raw=bytes(4))
    yield "rank", _tensor([1] * 100_000, raw=bytes(4))
    yield "empty", _tensor([0, _LARGE], raw=b"")
    yield "no-values", _tensor([_LARGE])
    yield "floats", _tensor([_LARGE], floats=bytes(4))
    yield "kind", _tensor([1], kind=99, raw=bytes(4))
    yield "longs", _tensor([1], kind=TensorProto.INT64, longs=bytes(200_000_000))
    yield "integers", _tensor([60_000_000], kind=TensorProto.INT8, integers=bytes(60_000_000))
    yield "texts", _tensor([3], kind=TensorProto.STRING, texts=b"\xff\xfe")
    yield "external", _tensor([1], raw=bytes(4)) + encode_bytes(13, encode_bytes(1, b"/etc/passwd"))


def _wires(sealed: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield files whose messages are broken, many, deep or long."""
    plain = _model()
    yield "nothing", b""
    yield "zeros", bytes(1_000_000)
    yield "noise", np.random.default_rng(0).bytes(1_000_000)
    yield "text", b"this is no model\n" * 1000
    yield "cut", plain[: len(plain) // 2]
    yield "no-graph", encode_varint(1 << 3) + encode_varint(8)
    yield "two-graphs", plain + encode_bytes(_GRAPH, onnx.load_from_string(plain).graph.SerializeToString())
    yield "function", with_metadata(plain + encode_bytes(_FUNCTIONS, b""), dict(sealed))
    relu = helper.make_node("Relu", ["mean"], ["spare"]).SerializeToString()
    yield "nodes", with_metadata(_with(_NODE, relu, 100_000), dict(sealed))
    yield "most-nodes", with_metadata(_with(_NODE, relu, 9_000), dict(sealed))
    yield "empty-nodes", with_metadata(_with(_NODE, b"", 5_000_000), dict(sealed))
    yield "values", with_metadata(_with(_VALUE_INFO, b"", 5_000_000), dict(sealed))
    dims = encode_bytes(1, b"") * 20_000_000
    shape = encode_bytes(2, encode_bytes(1, encode_bytes(2, dims)))
    yield "shape", with_metadata(_with(_VALUE_INFO, encode_bytes(1, b"spare") + shape), dict(sealed))
    yield "metadata", with_metadata(plain + encode_bytes(14, b"") * 5_000_000, dict(sealed))
    deep = b""
    for _ in range(2000):
        deep = encode_bytes(_NODE, encode_bytes(5, encode_bytes(6, deep)))
    yield "deep", with_metadata(_with(_NODE, encode_bytes(5, encode_bytes(6, deep))), dict(sealed))
    kind = b""
    for _ in range(3000):
        kind = encode_bytes(4, encode_bytes(1, kind))
    yield "deep-type", with_metadata(_with(_VALUE_INFO, encode_bytes(2, kind)), dict(sealed))
    yield "long-name", with_metadata(_with(_NODE, encode_bytes(4, b"x" * 50_000_000)), dict(sealed))
    yield "not-utf8", with_metadata(_with(_NODE, encode_bytes(4, b"\xff\xfe")), dict(sealed))
    yield "unsealed", plain + with_metadata(b"", dict(sealed)).split(b"edge_fm.seal")[0][:-4]
    yield "no-passport", plain


def _passports(text: str) -> Iterator[tuple[str, str]]:
    """Yield broken texts of a passport."""
    yield "empty", ""
    yield "number", "7"
    yield "list", "[]"
    yield "deep", "[" * 200_000
    yield "many", "[" + "[]," * 10_000_000 + "[]]"
    yield "long", '{"version": "' + "x" * 100_000_000 + '"}'
    yield "digits", text.replace('"unknown_below":', '"unknown_below":' + "9" * 400 + ',"former":', 1)
    yield "integer", text.replace('"height":28', '"height":' + "9" * 400, 1)
    yield "thousands", text.replace('"height":28', '"height":' + "9" * 5000, 1)
    for name, value in (("nan", "NaN"), ("infinite", "1e999"), ("true", "true"), ("null", "null")):
        yield name, text.replace('"height":28', f'"height":{value}', 1)
    yield "twice", text.replace('"height":28', '"height":28,"height":28', 1)
    yield "zero", text.replace('"height":28', '"height":0', 1)
    yield "other-size", text.replace('"height":28', '"height":1024', 1)
    yield "newer", json.dumps({**json.loads(text), "version": 99})
    inflating = "z:" + base64.b64encode(zlib.compress(bytes(2**24), 9)).decode()
    golden = [{**one, "image": inflating} for one in json.loads(text)["golden"]] * 8
    yield "inflating", json.dumps({**json.loads(text), "golden": golden})
