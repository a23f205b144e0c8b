"""JSON into frozen dataclasses, every type checked: what a stranger wrote is a dict no longer than this takes."""

import base64
import binascii
import math
from dataclasses import Field, fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from edge_fm_runtime.errors import ModelError

BROKEN = "the model's passport is broken"
REMEDY = "Export the model again with 'edge-fm export'"


def require(condition: bool, found: str) -> None:
    """Refuse a passport that has `found`.

    Raises:
        ModelError: the condition does not hold.
    """
    if not condition:
        raise ModelError(f"{BROKEN}: it has {found}. {REMEDY}")


def read(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401  # JSON is untyped until here
    """Return `value` as `kind`: a dataclass, tuple, enum, optional, bytes or plain type; `where` is its place for the message.

    Raises:
        ModelError: it is of another type, or a part is missing.
    """
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, where)
    if isinstance(kind, UnionType):
        return None if value is None else read(get_args(kind)[0], value, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        require(value in list(kind), f"{where} {value!r}; known are {', '.join(kind)}")
        return kind(value)
    if kind is bytes:
        try:
            return base64.b64decode(read(str, value, where), validate=True)
        except (binascii.Error, ValueError):
            raise ModelError(f"{BROKEN}: {where} is not base64. {REMEDY}") from None
    if kind is float and type(value) is int:
        value = float(value)
    require(type(value) is kind, f"{where} {value!r:.60}, which is no {kind.__name__}")
    require(kind is not float or math.isfinite(value), f"{where} {value!r}, which is not finite")
    return value


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    require(isinstance(value, dict), f"{where} {value!r:.60}, which is no object")
    hints = get_type_hints(kind)
    keys = {field.name: _key(field, value) for field in fields(kind)}
    optional = {field.name for field in fields(kind) if "added_in" in field.metadata}
    missing = [name for name, key in keys.items() if key is None and name not in optional]
    require(not missing, f"no {where}.{', '.join(missing)}")
    return kind(
        **{
            name: read(hints[name], value[key], f"{where}.{key}")
            for name, key in keys.items()
            if key is not None
        }
    )


def _key(field: Field[Any], value: dict[str, Any]) -> str | None:
    """Return the key that holds a field: its name, or the one it had in passports of older versions."""
    return next((key for key in (field.name, field.metadata.get("formerly")) if key in value), None)


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401
    require(isinstance(value, list), f"{where} {value!r:.60}, which is no list")
    if kinds[-1] is Ellipsis:
        return tuple(read(kinds[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    require(len(value) == len(kinds), f"{where} with {len(value)} items, not {len(kinds)}")
    return tuple(
        read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
