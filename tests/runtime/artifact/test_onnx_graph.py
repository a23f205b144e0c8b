"""Graphs that are refused before any library reads them, and limits on the ones that run."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edge_fm_runtime.artifact import onnx_file, session
from edge_fm_runtime.artifact.protobuf import encode_bytes, encode_varint
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.errors import ModelError

onnx = pytest.importorskip("onnx")
GRAPH, NODE, INITIALIZER, VALUE_INFO = 7, 1, 5, 13
INT8, FLOAT, INT64 = 3, 1, 7


def tensor(dims: list[int], kind: int = FLOAT, *, number: int = 9, values: bytes = b"") -> bytes:
    """Return an initialiser of any sizes; `number` is the field of its values."""
    sizes = b"".join(encode_varint(8) + encode_varint(size % 2**64) for size in dims)
    return (
        sizes + encode_varint(16) + encode_varint(kind) + encode_bytes(8, b"t") + encode_bytes(number, values)
    )


def with_graph(*fields: tuple[int, bytes]) -> bytes:
    """Return a model whose graph has the given fields."""
    return encode_bytes(GRAPH, b"".join(encode_bytes(number, payload) for number, payload in fields))


def classifier(*nodes: Any, **constants: np.ndarray) -> bytes:
    """Return a model of images of 2 x 2, whose nodes lead from `pixels` to `probabilities`."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["pixels"], to=FLOAT), *nodes],
        "graph",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", 2, 2, 1])],
        [helper.make_tensor_value_info("probabilities", FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("operator", ["Loop", "Scan", "If"])
def test_control_flow_is_refused_on_sight(operator: str) -> None:
    """A loop or condition is refused by its operator alone, with the node's name."""
    node = onnx.helper.make_node(operator, [], ["y"], name="mine").SerializeToString()
    with pytest.raises(ModelError, match=f"'mine' of the operator '{operator}'.*without loops"):
        onnx_file.parse(with_graph((NODE, node)))


def test_a_graph_inside_any_node_is_refused() -> None:
    """Whatever the operator, a node may not have a graph of its own, in either kind of attribute."""
    for number in (6, 11):
        node = encode_bytes(4, b"Mine") + encode_bytes(5, encode_bytes(number, b""))
        with pytest.raises(ModelError, match="'Mine'"):
            onnx_file.parse(with_graph((NODE, node)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (tensor([1000, 1000], values=bytes(4)), "4 bytes, and its dimensions say 4,000,000"),
        (tensor([1], values=bytes(400)), "400 bytes, and its dimensions say 4"),
        (tensor([-4], values=bytes(4)), "a dimension of -4"),
        (tensor([-2, -2], values=bytes(16)), "a dimension of -2"),
        (tensor([2**63], values=bytes(4)), "a dimension of -9223372036854775808"),
        (tensor([2**40], values=bytes(4)), "a dimension of 1099511627776"),
        (tensor([2**31, 2**31], values=b""), "its dimensions say"),
        (tensor([1] * 65, values=bytes(4)), "more than 64 dimensions"),
        (tensor([1], 99, values=bytes(4)), "the unknown type 99"),
        (tensor([2**31], number=4, values=bytes(4)), "2,147,483,648 elements by its dimensions"),
        (tensor([2**31], 8, number=6, values=b"a"), "2,147,483,648 elements"),
    ],
)
def test_tensors_whose_sizes_contradict_their_values_are_refused(made: bytes, message: str) -> None:
    """The error names the tensor and both sizes; in an attribute as among the weights."""
    attribute = encode_bytes(NODE, encode_bytes(4, b"Constant") + encode_bytes(5, encode_bytes(5, made)))
    for data in (with_graph((INITIALIZER, made)), encode_bytes(GRAPH, attribute)):
        with pytest.raises(ModelError, match=f"tensor 't' of the model has .*{message}"):
            onnx_file.parse(data)


@pytest.mark.parametrize(
    "made",
    [
        tensor([2, 3], values=bytes(24)),
        tensor([], values=bytes(4)),
        tensor([0, 7], values=b""),
        tensor([5], 22, values=bytes(3)),
        tensor([3], INT64, number=7, values=b"\1\2\3"),
        tensor([2], number=4, values=bytes(8)),
    ],
    ids=["plain", "scalar", "empty", "four bits", "varints", "floats"],
)
def test_tensors_in_order_pass(made: bytes) -> None:
    """Scalars, empty tensors, packed integers and typed values are all in order."""
    assert onnx_file.parse(with_graph((INITIALIZER, made))).metadata == {}


def flood() -> Iterator[tuple[str, bytes]]:
    """Yield files of many small parts."""
    relu = encode_bytes(4, b"Relu")
    yield "over 10,000 nodes", with_graph(*[(NODE, relu)] * 10_001)
    yield "over 1,000,000 parts", encode_bytes(GRAPH, encode_bytes(VALUE_INFO, b"") * 1_000_001)
    yield "bytes beside its weights", with_graph((VALUE_INFO, bytes(9 * 2**20)))
    integers = tensor([9 * 2**20], INT8, number=5, values=bytes(9 * 2**20))
    yield "bytes beside its weights", with_graph((INITIALIZER, integers))


@pytest.mark.parametrize(("message", "data"), [*flood()], ids=["nodes", "parts", "structure", "integers"])
def test_files_of_many_parts_are_refused(message: str, data: bytes) -> None:
    """Parts that take far more memory when parsed than in the file have a limit."""
    with pytest.raises(ModelError, match=message):
        onnx_file.parse(data)


def test_two_graphs_are_refused() -> None:
    """A parser would merge them into one that was not checked."""
    with pytest.raises(ModelError, match="it has 2 graphs"):
        onnx_file.parse(with_graph() * 2)


def test_a_deep_message_is_refused() -> None:
    """Nesting ends in an error, not in the interpreter's limit."""
    deep = b""
    for _ in range(5000):
        deep = encode_bytes(NODE, encode_bytes(5, encode_bytes(6, deep)))
    with pytest.raises(ModelError, match="without loops"):
        onnx_file.parse(encode_bytes(GRAPH, deep))


def expansion(constant: bool) -> bytes:
    """Return a model that asks for a terabyte, by a constant or when it runs."""
    node, start = onnx.helper.make_node, "one" if constant else "pixels"
    return classifier(
        node("Expand", [start, "size"], ["many"]),
        node("ReduceMax", ["many"], ["probabilities"], axes=[1], keepdims=0),
        one=np.ones((1, 1), np.float32),
        size=np.array([1, 2**40] if constant else [1, 1, 1, 2**40]),
    )


@pytest.mark.parametrize("constant", [True, False])
def test_a_model_gets_no_more_memory_than_a_classifier_needs(constant: bool) -> None:
    """A terabyte is refused in words, whether it is asked for by a constant or by the image."""
    images = np.zeros((1, 2, 2, 1), np.uint8)
    with pytest.raises(ModelError, match="it needs more than 1,280 MB"):
        OnnxSession(expansion(constant)).run(images)


def test_doubling_constants_are_stopped() -> None:
    """Constants, each twice the one before, end at a limit, whether onnxruntime folds them or runs them."""
    names = ["one", *(f"step_{number}" for number in range(40)), "last"]
    chain = [
        onnx.helper.make_node("Concat", [before, before], [after], axis=0)
        for before, after in pairwise(names)
    ]
    ending = onnx.helper.make_node("ReduceMax", ["last"], ["probabilities"])
    with pytest.raises(ModelError, match="it needs more"):
        OnnxSession(classifier(*chain, ending, one=np.ones(1, np.float32))).run(
            np.zeros((1, 2, 2, 1), np.uint8)
        )


@pytest.mark.slow
def test_a_first_answer_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of minutes is stopped between two operators, and the error says the limit."""
    monkeypatch.setattr(session, "_FIRST_RUN_S", 0.2)
    names = ["start", *(f"step_{number}" for number in range(3000)), "last"]
    node = onnx.helper.make_node
    model = classifier(
        node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=1),
        node("Expand", ["mean", "size"], ["start"]),
        *(node("MatMul", [a, "start"], [b]) for a, b in pairwise(names)),
        node("ReduceMax", ["last"], ["probabilities"], axes=[1, 2], keepdims=0),
        size=np.array([1, 1, 800, 800]),
    )
    opened = OnnxSession(model)
    with pytest.raises(ModelError, match=r"its first answer takes longer than 0\.2 s"):
        opened.run(np.zeros((4, 2, 2, 1), np.uint8))
