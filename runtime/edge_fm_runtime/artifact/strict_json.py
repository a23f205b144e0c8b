"""Read the passport's JSON into frozen dataclasses; one message says what is broken."""

from typing import Any

from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.untrusted import bounded_json, typed_json

BROKEN = "the model's passport is broken"
REMEDY = "Export the model again with 'edge-fm export'"

_MAX_CHARACTERS = 64 * 2**20
"""Size cap of a passport; golden inputs of the largest images take about 10 MB each."""


def require(condition: bool, found: str) -> None:
    """Refuse the passport unless a condition holds.

    Args:
        condition: whether the passport is in order.
        found: the fault, as a noun phrase that completes "it has".

    Raises:
        ModelError: the condition does not hold.
    """
    if not condition:
        raise ModelError(f"{BROKEN}: it has {found}. {REMEDY}")


def parse(text: str) -> Any:  # noqa: ANN401  # JSON is untyped until it is read
    """Return the parsed text of a passport.

    Raises:
        ModelError: it is not JSON, or exceeds a limit of `bounded_json`.
    """
    require(len(text) <= _MAX_CHARACTERS, f"{len(text):,} characters, the limit is {_MAX_CHARACTERS:,}")
    try:
        return bounded_json.loads(text)
    except ValueError as error:
        raise ModelError(f"{BROKEN}: it is not JSON ({error}). {REMEDY}") from None


def read(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401
    """Return a JSON value as the wanted type; see `typed_json.read`.

    Raises:
        ModelError: a value has another type or is out of range, or a key is missing or unknown.
    """
    try:
        return typed_json.read(kind, value, path)
    except typed_json.WrongValueError as error:
        raise ModelError(f"{BROKEN}: it has {error}. {REMEDY}") from None
