"""Model files: seal, passport, and files that are refused before onnxruntime opens them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.model_file import read_model, read_passport
from edge_fm_runtime.artifact.passport import KEY, Passport
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError

DATA = Path(__file__).resolve().parents[2] / "data"
TINY, BARE = (DATA / "tiny.onnx").read_bytes(), (DATA / "bare.onnx").read_bytes()


def passport() -> Passport:
    """Return the tiny model's passport."""
    found = read_passport(TINY)
    assert found is not None
    return found


def stamped(text: str) -> bytes:
    """Return the tiny model, sealed with another passport."""
    return onnx_file.with_metadata(BARE, {KEY: text})


def test_passport_survives_the_file() -> None:
    """A passport is read as it was written."""
    assert Passport.from_json(passport().to_json()) == passport()
    assert read_passport(stamped(passport().to_json())) == passport()


def test_metadata_is_readable_by_onnxruntime() -> None:
    """The passport is ordinary ONNX metadata that any reader finds."""
    import onnxruntime

    found = onnxruntime.InferenceSession(TINY).get_modelmeta().custom_metadata_map
    assert json.loads(found[KEY])["labels"] == ["dark", "light"]


def _edit(path: str, value: object) -> str:
    """Return the passport's JSON with one part replaced, or removed if `value` is Ellipsis."""
    document: dict[str, Any] = json.loads(passport().to_json())
    *parents, last = path.split(".")
    part: Any = document
    for name in parents:
        part = part[int(name)] if isinstance(part, list) else part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 99, "version 99"),
        ("labels", ["one"], "1 labels"),
        ("labels", ["a", "a"], "twice"),
        ("labels", ["a", "b\n"], "not printable"),
        ("labels", "ab", "no list"),
        ("labels", ..., "no passport.labels"),
        ("input.height", 0, "height of 0"),
        ("input.height", 1e9, "no int"),
        ("input.channels", 2, "2 input channels"),
        ("input.layout", "NCHW", "NCHW"),
        ("preprocess.fit", "tile", "known are letterbox"),
        ("preprocess.fill", 256, "fill of 256"),
        ("preprocess.version", 99, "update"),
        ("preprocess.grey", "mean", "only 'bt601'"),
        ("decision.temperature", 0, "temperature of 0"),
        ("decision.unknown_below", 2, "threshold of 2"),
        ("decision.unknown_below", float("nan"), "not finite"),
        ("decision.coverage", -1, "coverage of -1"),
        ("precision", None, "no object"),
        ("precision.settings", [["a"]], "1 items, not 2"),
        ("golden.0.tensor", "AAAA", "golden tensor of 3 bytes"),
        ("golden.0.tensor", "%%", "not base64"),
        ("golden.0.own", [1.0], "1 golden probabilities"),
        ("evidence.0.accuracy", 7, "accuracy 7"),
    ],
)
def test_a_broken_passport_is_explained(path: str, value: object, message: str) -> None:
    """Each part is checked for presence, type and range, and the message names it."""
    with pytest.raises(ModelError, match=message) as caught:
        read_passport(stamped(_edit(path, value)))
    assert "edge-fm" in str(caught.value)


def test_a_passport_that_is_not_json() -> None:
    """Text that is not JSON is refused."""
    with pytest.raises(ModelError, match="not JSON"):
        read_passport(stamped("{"))


def test_an_edited_file_is_refused() -> None:
    """One changed byte of a weight breaks the seal."""
    edited = bytearray(TINY)
    edited[TINY.index(np.float32(1 / 255).tobytes())] ^= 1
    with pytest.raises(ModelError, match="seal"):
        read_passport(bytes(edited))


def test_a_passport_without_a_seal_is_refused() -> None:
    """Removing the seal does not make an edited file pass."""
    unsealed = TINY[: TINY.index(onnx_file.SEAL_KEY.encode()) - 5]
    with pytest.raises(ModelError):
        Classifier.from_bytes(unsealed)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", TINY[:100], b"\x0a\xff\xff\xff\xff\x7f", b"\x08" * 50]
)
def test_other_files_are_refused(data: bytes) -> None:
    """Anything but an ONNX file is refused with a message."""
    with pytest.raises(ModelError, match="ONNX"):
        read_passport(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_never_crash(data: st.DataObject) -> None:
    """A file with changed bytes is refused; it never crashes or answers."""
    mutated = bytearray(TINY)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(TINY) - 1))] = data.draw(st.integers(0, 255))
    if bytes(mutated) != TINY:
        with pytest.raises(ModelError):
            Classifier.from_bytes(bytes(mutated), labels=None)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_other_json_is_refused(value: object) -> None:
    """JSON that is not a passport is a ModelError, whatever it contains."""
    with pytest.raises(ModelError):
        Passport.from_json(json.dumps(value))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_graphs_never_crash(data: st.DataObject) -> None:
    """An unsealed graph with changed bytes is refused, or returns one row per image."""
    mutated = bytearray(BARE)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(BARE) - 1))] = data.draw(st.integers(0, 255))
    try:
        classifier = Classifier.from_bytes(bytes(mutated), labels=("dark", "light"))
        rows = classifier.probabilities(np.zeros((2, *classifier.passport.input.shape), np.uint8))
    except ModelError:
        return
    assert rows.shape == (2, 2)


@pytest.mark.parametrize(
    ("place", "byte"),
    [(118, 193), (296, 128), (37, 128)],
    ids=["one row for all", "name of an axis", "name of an operator"],
)
def test_graphs_that_a_mutation_broke_are_refused(place: int, byte: int) -> None:
    """A graph that returns one row for two images, or has a name that is not UTF-8, is refused."""
    mutated = bytearray(BARE)
    mutated[place] = byte

    def answer() -> None:
        classifier = Classifier.from_bytes(bytes(mutated), labels=("dark", "light"))
        classifier.probabilities(np.zeros((2, *classifier.passport.input.shape), np.uint8))

    with pytest.raises(ModelError):
        answer()


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_passports_never_crash(data: st.DataObject) -> None:
    """A sealed passport with one part changed is refused, or is consistent in itself."""
    value = json.loads(passport().to_json())
    where, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(where[key], (dict, list)) and where[key] and data.draw(st.booleans()):
        where = where[key]
        key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    where[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.just([])
        | st.just({})
        | st.just(where[key])
    )
    sealed = stamped(json.dumps(value))
    try:
        classifier = Classifier.from_bytes(sealed)
        answer = classifier.classify_frame(np.full((30, 30, 3), 255, np.uint8))
    except ModelError:
        return
    assert answer.label in classifier.passport.labels
    assert 0 <= answer.confidence <= 1 + 1e-6
    assert classifier.passport.decision.temperature > 0


def test_names_that_are_not_utf8_are_refused() -> None:
    """An input name that is not UTF-8 is refused with a message (found by mutation)."""
    renamed = BARE.replace(b"image", b"imag\xe9")
    assert renamed != BARE
    with pytest.raises(ModelError):
        Classifier.from_bytes(renamed, labels=("dark", "light"))


def _external(onnx: Any, model: Any) -> None:
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def _nested(onnx: Any, model: Any) -> None:
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "body", onnx.AttributeProto.GRAPH
    attribute.g.node.add().domain = "evil.example"


def _foreign_operator(_onnx: Any, model: Any) -> None:
    model.graph.node[0].domain = "evil.example"


def _foreign_opset(_onnx: Any, model: Any) -> None:
    model.opset_import.add().domain = "evil.example"


def _function(_onnx: Any, model: Any) -> None:
    model.functions.add().name = "f"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "another file"),
        (lambda _onnx, model: model.graph.sparse_initializer.add(), "sparse"),
        (_foreign_operator, "evil"),
        (_foreign_opset, "evil"),
        (_function, "functions"),
        (_nested, "loops and conditions"),
    ],
    ids=["external data", "sparse initialiser", "operator", "opset", "function", "nested graph"],
)
def test_foreign_parts_are_refused(change: Any, message: str) -> None:
    """External data, sparse initialisers, foreign domains and functions never reach onnxruntime."""
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto()
    model.ParseFromString(BARE)
    change(onnx, model)
    with pytest.raises(ModelError, match=message):
        onnx_file.parse(model.SerializeToString())


def test_the_size_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the size cap is refused before it is read."""
    monkeypatch.setattr(onnx_file, "MAX_MODEL_BYTES", 100)
    path = tmp_path / "large.onnx"
    path.write_bytes(TINY)
    with pytest.raises(ModelError, match="limit"):
        read_model(path)
    with pytest.raises(ModelError, match="limit"):
        onnx_file.parse(TINY)


def test_a_passport_of_another_graph_is_refused() -> None:
    """A passport whose labels or shape contradict the graph is refused when the model is opened."""
    three = dataclasses.replace(passport(), labels=("a", "b", "c"), golden=())
    with pytest.raises(ModelError, match="3 labels"):
        Classifier.from_bytes(stamped(three.to_json()))
    large = dataclasses.replace(passport(), input=InputSpec(32, 32, 1), golden=())
    with pytest.raises(ModelError, match=r"32, 32, 1"):
        Classifier.from_bytes(stamped(large.to_json()))
