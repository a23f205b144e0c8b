"""Walk the wire format of protocol buffers, without copying and without the protobuf package."""

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

_FIXED = {FIXED64: 8, FIXED32: 4}


class BrokenMessageError(ValueError):
    """Bytes that are no protobuf message."""


@dataclass(slots=True)
class WireField:
    """One field of a message.

    Attributes:
        number: field number.
        wire: wire type.
        payload: content of a field of bytes, a view; empty for other types.
        varint: value of a varint; 0 for other types.
        start: where the field begins in the message.
        end: where the field ends in the message.
    """

    number: int
    wire: int
    payload: memoryview
    varint: int
    start: int
    end: int


def fields(data: bytes | memoryview) -> Iterator[WireField]:
    """Yield the fields of one message.

    Raises:
        BrokenMessageError: the message is broken.
    """
    view = memoryview(data)
    position = 0
    while position < len(view):
        start = position
        key, position = _varint(view, position)
        number, wire = key >> 3, key & 7
        payload, value = view[:0], 0
        if wire == VARINT:
            value, position = _varint(view, position)
        elif wire == BYTES:
            length, position = _varint(view, position)
            payload = view[position : position + length]
            position += length
        elif wire in _FIXED:
            position += _FIXED[wire]
        else:
            raise BrokenMessageError
        if number == 0 or position > len(view):
            raise BrokenMessageError
        yield WireField(number, wire, payload, value, start, position)


def packed(field: WireField) -> Iterator[int]:
    """Yield the integers of a repeated field, signed, whether it is packed or not.

    Raises:
        BrokenMessageError: the field is broken.
    """
    if field.wire == VARINT:
        yield _signed(field.varint)
    position = 0
    while position < len(field.payload):
        value, position = _varint(field.payload, position)
        yield _signed(value)


def encode_bytes(number: int, value: bytes) -> bytes:
    """Return a field of bytes, as in a message."""
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value


def encode_varint(value: int) -> bytes:
    """Return a whole number of 0 or more as a varint."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise BrokenMessageError
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise BrokenMessageError


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value
