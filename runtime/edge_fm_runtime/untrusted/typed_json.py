"""Turn parsed JSON into frozen dataclasses, every key and type checked.

A field's metadata says how older files differ: `added_in`, the version of the format that introduced the
field, so that older files may lack it; `formerly`, the key that it had in older files.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

_MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""

_MAX_FLOAT = 3.4e38
"""About the largest float32, in which models compute."""


_DEFLATED = "z:"
"""Prefix of bytes that are deflated (RFC 1950) before base64, whose alphabet lacks the colon."""

_MAX_INFLATED = 2**22
"""Largest size of inflated bytes; a tensor of the largest input, 1024x1024x3, has 3 MiB."""


class WrongValueError(ValueError):
    """A value of another type or out of range; the message is a noun phrase that completes "it has"."""


def require(condition: bool, found: str) -> None:
    """Refuse a value unless a condition holds.

    Raises:
        WrongValueError: the condition does not hold.
    """
    if not condition:
        raise WrongValueError(found)


def read(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401  # JSON is untyped until here
    """Return a JSON value as the wanted type.

    Args:
        kind: a dataclass, tuple, mapping from strings, enum, optional, bytes (as `encode_bytes` writes
            them), plain type, or Any for any value.
        value: the parsed JSON.
        path: place of the value for error messages, such as `passport.decision`.

    Raises:
        WrongValueError: a value has another type, a number is out of range, or a key is missing, unknown
            or given under its old and its new name.
    """
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _read_dataclass(kind, value, path)
    if (origin := get_origin(kind)) is not None:
        return _READERS[origin](get_args(kind), value, path)
    if issubclass(kind, StrEnum):
        require(value in list(kind), f"{path} {value!r:.60}; known are {', '.join(kind)}")
        return kind(value)
    return _read_plain(kind, value, path)


def _read_plain(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401
    if kind is bytes:
        return _read_bytes(read(str, value, path), path)
    if type(value) is int:
        require(abs(value) <= _MAX_INTEGER, f"{path} with an integer beyond {_MAX_INTEGER}")
        value = float(value) if kind is float else value
    require(type(value) is kind, f"{path} {value!r:.60}, which is no {kind.__name__}")
    require(
        kind is not float or abs(value) <= _MAX_FLOAT, f"{path} {value!r}, which is not finite in float32"
    )
    return value


def encode_bytes(data: bytes) -> str:
    """Return bytes as text for `read`: base64, of deflated bytes where that is shorter."""
    deflated = zlib.compress(data, 9)
    if len(deflated) >= len(data) or len(data) > _MAX_INFLATED:
        return base64.b64encode(data).decode()
    return _DEFLATED + base64.b64encode(deflated).decode()


def _read_bytes(text: str, path: str) -> bytes:
    try:
        data = base64.b64decode(text.removeprefix(_DEFLATED), validate=True)
        if not text.startswith(_DEFLATED):
            return data
        inflater = zlib.decompressobj()
        inflated = inflater.decompress(data, _MAX_INFLATED)
    except (binascii.Error, ValueError, zlib.error):
        raise WrongValueError(f"{path}, which is not base64") from None
    require(
        inflater.eof and not inflater.unused_data,
        f"{path} that inflates to over {_MAX_INFLATED} bytes or is cut",
    )
    return inflated


def _read_dataclass(kind: Any, value: Any, path: str) -> Any:  # noqa: ANN401
    require(isinstance(value, dict), f"{path} {value!r:.60}, which is no object")
    hints = get_type_hints(kind)
    keys = {field.name: _key(field, value, path) for field in fields(kind)}
    unknown = sorted(value.keys() - set(keys.values()))
    require(not unknown, f"{path}.{', '.join(unknown):.60}, which is no field that this edge-fm knows")
    optional = {field.name for field in fields(kind) if "added_in" in field.metadata}
    missing = [name for name, key in keys.items() if key is None and name not in optional]
    require(not missing, f"no {path}.{', '.join(missing)}")
    return kind(
        **{
            name: read(hints[name], value[key], f"{path}.{key}")
            for name, key in keys.items()
            if key is not None
        }
    )


def _key(field: Field[Any], value: dict[str, Any], path: str) -> str | None:
    """Return the key of a field, its name or its name in older files; None if there is neither."""
    former = field.metadata.get("formerly")
    present = [key for key in (field.name, former) if key in value]
    require(len(present) <= 1, f"both {path}.{field.name} and {path}.{former}, two names of one field")
    return present[0] if present else None


def _read_tuple(kinds: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:  # noqa: ANN401
    require(isinstance(value, list), f"{path} {value!r:.60}, which is no list")
    if kinds[-1] is Ellipsis:
        return tuple(read(kinds[0], item, f"{path}[{index}]") for index, item in enumerate(value))
    require(len(value) == len(kinds), f"{path} with {len(value)} items, not {len(kinds)}")
    return tuple(
        read(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _read_mapping(kinds: tuple[Any, ...], value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    require(isinstance(value, dict), f"{path} {value!r:.60}, which is no object")
    return {key: read(kinds[1], item, f"{path}.{key:.60}") for key, item in value.items()}


def _read_optional(kinds: tuple[Any, ...], value: Any, path: str) -> Any:  # noqa: ANN401
    return None if value is None else read(kinds[0], value, path)


_READERS = {tuple: _read_tuple, dict: _read_mapping, Mapping: _read_mapping, UnionType: _read_optional}
