"""JSON that is refused for its size or its numbers, and types that are checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge_fm_runtime.untrusted import bounded_json, typed_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[" + "[]," * bounded_json.MAX_ITEMS + "[]]", "values, the limit is"),
        ("9" * 400, "beyond 64 bits"),
        ("9" * 5000, "beyond 64 bits"),
        (str(2**63), "beyond 64 bits"),
        ("1e999", "not finite"),
        ("NaN", "NaN, which is not finite"),
        ("-Infinity", "not finite"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        ("", "Expecting value"),
        (b"\xff", "can't decode"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_beyond_the_limits_is_refused(text: str | bytes, message: str) -> None:
    """Each is a ValueError that says the fault."""
    with pytest.raises(ValueError, match=message):
        bounded_json.loads(text)


def test_json_within_the_limits_is_read() -> None:
    """The largest integers, negative ones, floats and nested values come back as they are."""
    assert bounded_json.loads('{"a": [9223372036854775807, -9223372036854775808, 0.5, null]}') == {
        "a": [2**63 - 1, -(2**63), 0.5, None]
    }


@dataclass(frozen=True)
class Example:
    """Fields of several types."""

    name: str
    counts: Mapping[str, int]
    any_value: Any
    later: tuple[str, ...] = field(default=(), metadata={"added_in": 2})


def test_values_become_a_dataclass() -> None:
    """A field that was added later may be missing, and `Any` takes any value."""
    values = {"name": "a", "counts": {"b": 1}, "any_value": [1]}
    assert typed_json.read(Example, values, "example") == Example("a", {"b": 1}, [1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "example.name 1, which is no str"),
        ({"counts": {"b": True}}, "example.counts.b True, which is no int"),
        ({"counts": []}, "which is no object"),
        ({"later": "ab"}, "which is no list"),
        ({"other": 1}, "example.other, which is no field"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    """An error names the place and the fault."""
    values = {"name": "a", "counts": {"b": 1}, "any_value": None} | change
    with pytest.raises(typed_json.WrongValueError, match=message):
        typed_json.read(Example, values, "example")
