"""Parse JSON that a stranger may have made, without surprises in memory, time or meaning.

Refused are more than `MAX_ITEMS` values, nesting beyond the interpreter's limit, integers beyond 64 bits,
numbers that are not finite, and a key that occurs twice in an object.
"""

import json
import math
from collections import Counter
from typing import Any

MAX_ITEMS = 2_000_000
"""Values in a text; so many small objects take about 300 MB."""

_MAX_INTEGER = 2**63
_MAX_DIGITS = 20
_SHOWN = 40


def loads(text: str | bytes) -> Any:  # noqa: ANN401  # JSON is untyped
    """Return the parsed text.

    Raises:
        ValueError: it is no JSON, or one of the limits is exceeded.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    items = text.count(",") + text.count("[") + text.count("{")
    if items > MAX_ITEMS:
        raise ValueError(f"about {items:,} values, the limit is {MAX_ITEMS:,}")
    return parse(text)


def parse(text: str) -> Any:  # noqa: ANN401
    """Return the parsed text, whose size the caller has limited.

    Raises:
        ValueError: it is no JSON, or a limit other than the number of values is exceeded.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("values nested too deep") from None


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not -_MAX_INTEGER <= (value := int(digits)) < _MAX_INTEGER:
        raise ValueError(f"the integer {digits[:_SHOWN]}, which is beyond 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_SHOWN]}, which is not finite")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"the number {name}, which is not finite")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice[:_SHOWN]!r} twice in one object")
    return found


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_constant, object_pairs_hook=_object
)
