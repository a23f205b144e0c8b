"""Passports of every version are read; newer ones, and unknown or doubled keys, are refused."""

import base64
import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.passport import KEY, VERSION, Passport, Translation
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.golden import replay
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.status import Status
from tests.conftest import DATA

VERSIONS = range(1, 8)
BASIC = {"temperature", "unknown_below", "coverage"}
DECISION_KEYS = {
    1: BASIC,
    2: {*BASIC, "groups"},
    3: {*BASIC, "groups", "calibrated"},
    4: {*BASIC, "groups", "calibrated", "familiarity"},
    5: {*BASIC, "groups", "calibrated", "familiarity", "doubt", "rounding"},
    6: {
        *BASIC,
        "groups",
        "calibrated",
        "known_class_weights",
        "reduced_decode_margin",
        "rounding_margin",
    },
}
DECISION_KEYS[7] = DECISION_KEYS[6]
"""Keys of the decision in each version."""

KNOWN = 1 / (1 + math.exp(-(1 + 0.5 * math.log(1 / 3) - 0.5 * math.log(2 / 3))))
"""Known-class score of the probabilities 1/3 and 2/3, with the bias and weights in the files."""

CONFIDENCES = {1: 2 / 3, 2: 1.0, 3: 1.0, 4: KNOWN, 5: KNOWN, 6: KNOWN, 7: KNOWN}
"""Confidence of a square of level 204: from 0.2 and 0.8, the temperature 2 makes 1/3 and 2/3."""

RENAMED = [
    ("known_class_weights", "familiarity"),
    ("reduced_decode_margin", "doubt"),
    ("rounding_margin", "rounding"),
]
"""Keys of version 6, and the keys of the same fields in versions 4 and 5."""


def file_of(version: int) -> bytes:
    """Return the model file with a passport of a version."""
    return (DATA / f"passport_v{version}.onnx").read_bytes()


def json_of(version: int) -> dict[str, Any]:
    """Return the JSON of a passport of a version."""
    value: dict[str, Any] = json.loads(onnx_file.parse(file_of(version)).metadata[KEY])
    return value


def square(level: int) -> bytes:
    """Return an even grey PNG."""
    return cv2.imencode(".png", np.full((8, 8), level, np.uint8))[1].tobytes()


def places_of_numbers(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key of every number in parsed JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        if isinstance(item, int | float) and not isinstance(item, bool):
            yield value, key
        else:
            yield from places_of_numbers(item)


def test_there_is_a_file_of_every_version() -> None:
    """Every version of the passport has a file here, so that later releases still read it."""
    assert VERSIONS.stop == VERSION + 1
    assert [json_of(version)["version"] for version in VERSIONS] == [*VERSIONS]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_has_the_keys_of_its_version(version: int) -> None:
    """The files have the keys that each version wrote, not those of the newest one."""
    value = json_of(version)
    assert value["decision"].keys() == DECISION_KEYS[version]
    assert ("translations" in value) is (version >= 3)
    assert ("rounding" in value["precision"]) is (version >= 7)
    assert value["golden"][0]["tensor"].startswith("z:") is (version >= 7)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_any_version_answers(version: int) -> None:
    """Label, confidence and status follow the decision in the file, with defaults for later fields."""
    classifier = Classifier.load(DATA / f"passport_v{version}.onnx")
    answer = classifier.classify(square(204))
    assert answer.label == "light"
    assert answer.confidence == pytest.approx(CONFIDENCES[version], abs=1e-6)
    assert answer.status is Status.OK
    unsure = classifier.classify(square(140))
    assert unsure.status is (Status.UNKNOWN if version == 1 else Status.OK)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_any_version_verifies(version: int) -> None:
    """Every golden input gives the same answer as when it was exported."""
    results = replay(Classifier.load(DATA / f"passport_v{version}.onnx"))
    assert [result.stage for result in results] == ["", ""]
    assert [result.label for result in results] == ["dark", "light"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_any_version_has_its_decision(version: int) -> None:
    """The fields of a version are read under its names, and later fields have their defaults."""
    passport = Classifier.load(DATA / f"passport_v{version}.onnx").passport
    decision = passport.decision
    assert (decision.temperature, decision.unknown_below, decision.coverage) == (2.0, 0.6, 0.9)
    assert decision.groups == ((("dark", "light"),) if version >= 2 else ())
    assert decision.calibrated is (version < 3)
    assert decision.known_class_weights == ((1.0, 0.5, -0.5) if version >= 4 else ())
    assert (decision.reduced_decode_margin, decision.rounding_margin) == (
        (1.5, 0.25) if version >= 5 else (0.7, 0.0)
    )
    assert passport.precision.tolerance == (2e-5 if version >= 7 else 1e-5)
    assert passport.translations == ((Translation("ko", ("어두움", "밝음")),) if version >= 3 else ())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_margin_of_a_file_decides_on_full_decodes(version: int) -> None:
    """Two labels of 1 to 1.3 are within the margin from version 5 on, and beyond the default one."""
    classifier = Classifier.load(DATA / f"passport_v{version}.onnx")
    rows = np.array([[1 / 2.3, 1.3 / 2.3], [0.2, 0.8]], np.float32)
    assert classifier.needs_full_decode(rows) == ([0] if version >= 5 else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_passport_is_written_again_in_the_newest_form(version: int) -> None:
    """An older passport keeps its values when it is written with the names of the newest version."""
    passport = Passport.from_json(json.dumps(json_of(version)))
    text = passport.to_json()
    assert Passport.from_json(text) == passport
    assert json.loads(text)["decision"].keys() == DECISION_KEYS[VERSION]


def test_a_newer_version_is_refused_with_the_remedy() -> None:
    """A passport of the next version is refused for its version, not for its new fields, with a remedy."""
    newer = {**json_of(VERSION), "version": VERSION + 1, "colour": "blue"}
    file = onnx_file.with_metadata((DATA / "bare.onnx").read_bytes(), {KEY: json.dumps(newer)})
    with pytest.raises(ModelError, match=r"version 8, .* reads versions 1 to 7: update edge-fm") as caught:
        Classifier.from_bytes(file)
    assert "export the model again" in str(caught.value)


@pytest.mark.parametrize(("name", "former"), RENAMED)
def test_one_field_under_two_names_is_refused(name: str, former: str) -> None:
    """A passport with a field under its old and its new name is ambiguous, and refused."""
    value = json_of(VERSION)
    value["decision"][former] = value["decision"][name]
    with pytest.raises(ModelError, match=f"both passport.decision.{name} and passport.decision.{former}"):
        Passport.from_json(json.dumps(value))


@pytest.mark.parametrize(("name", "former"), RENAMED)
def test_a_field_is_read_under_its_old_name_alone(name: str, former: str) -> None:
    """Each renamed field is read under its old name, also if the others have their new ones."""
    value = json_of(VERSION)
    value["decision"][former] = value["decision"].pop(name)
    assert Passport.from_json(json.dumps(value)) == Passport.from_json(json.dumps(json_of(VERSION)))


@pytest.mark.parametrize("place", ["", "decision", "input", "preprocess"])
def test_an_unknown_key_is_refused(place: str) -> None:
    """A misspelt key is refused by name; otherwise its field would silently have its default."""
    value = json_of(VERSION)
    (value[place] if place else value)["unknown_bellow"] = 0.6
    path = ".".join(part for part in ("passport", place, "unknown_bellow") if part)
    with pytest.raises(ModelError, match=f"it has {path}, which is no field"):
        Passport.from_json(json.dumps(value))


@pytest.mark.parametrize("text", ["1e300", "-1e300", str(2**63), "9" * 400, "-" + "9" * 400], ids=len)
def test_a_number_out_of_range_is_refused_wherever_it_is(text: str) -> None:
    """A number that float32 cannot hold is a `ModelError` in every field, never another exception."""
    value = json_of(VERSION)
    places = list(places_of_numbers(value))
    assert len(places) > 20
    for container, key in places:
        original, container[key] = container[key], json.loads(text)
        with pytest.raises(ModelError):
            Passport.from_json(json.dumps(value))
        container[key] = original


def deflated(data: bytes) -> str:
    """Return bytes as a passport stores deflated ones."""
    return "z:" + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        deflated(zlib.compress(bytes(2**25), 9)),
        deflated(zlib.compress(bytes(64), 9)[:-3]),
        deflated(zlib.compress(bytes(64), 9) + b"more"),
        deflated(b"no deflated bytes"),
        "z:",
        "z:%%%",
        "y:AAAA",
    ],
)
def test_deflated_bytes_that_lie_are_refused(text: str) -> None:
    """Bytes that inflate without bound, are cut or followed by others are a broken passport."""
    value = json_of(7)
    value["golden"][0]["tensor"] = text
    with pytest.raises(ModelError, match="passport is broken"):
        Passport.from_json(json.dumps(value))


def test_many_golden_inputs_are_refused_before_they_inflate() -> None:
    """A passport whose golden inputs could fill the memory is refused by their number."""
    value = json_of(7)
    value["golden"] *= 100
    with pytest.raises(ModelError, match="golden inputs, the limit is 16"):
        Passport.from_json(json.dumps(value))
