"""Read the fields of an untrusted protocol buffer, without its schema and without TensorFlow."""

from collections.abc import Iterator

_MAX_VARINT = 10
_FIXED = {1: 8, 5: 4}


class ProtobufError(ValueError):
    """Bytes that are no protocol buffer."""


class Message:
    """A message: for each field's number its values, integers or bytes."""

    def __init__(self, data: memoryview) -> None:
        """Read the fields, but not those of messages in it."""
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value in _fields(data):
            self._fields.setdefault(number, []).append(value)

    def integer(self, field: int, default: int = 0) -> int:
        """Return an integer; the last one counts. It is signed, as int64."""
        values = self._fields.get(field, [default])
        value = values[-1]
        if not isinstance(value, int):
            raise ProtobufError(f"field {field} is no integer")
        return value - 2**64 if value >= 2**63 else value

    def text(self, field: int) -> str:
        """Return a string; empty if there is none."""
        values = self.blobs(field)
        return str(values[-1], "utf-8", "replace") if values else ""

    def texts(self, field: int) -> tuple[str, ...]:
        """Return repeated strings."""
        return tuple(str(value, "utf-8", "replace") for value in self.blobs(field))

    def blobs(self, field: int) -> list[memoryview]:
        """Return repeated bytes."""
        values = self._fields.get(field, [])
        blobs = [value for value in values if isinstance(value, memoryview)]
        if len(blobs) < len(values):
            raise ProtobufError(f"field {field} is no string or message")
        return blobs

    def messages(self, field: int) -> Iterator["Message"]:
        """Yield repeated messages."""
        return (Message(value) for value in self.blobs(field))

    def message(self, field: int) -> "Message":
        """Return a message, empty if there is none; the parts of several are one, as protobuf merges them."""
        return Message(memoryview(b"".join(self.blobs(field))))

    def mapping(self, field: int) -> dict[str, "Message"]:
        """Return a map from strings to messages."""
        return {entry.text(1): entry.message(2) for entry in self.messages(field)}


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == 2:  # noqa: PLR2004
            length, position = _varint(data, position)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ProtobufError(f"a field of the kind {kind}")
        if length > len(data) - position:
            raise ProtobufError(f"a field of {length:,} bytes where {len(data) - position:,} are left")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if position + index >= len(data):
            raise ProtobufError("it ends inside a number")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004
            return value & (2**64 - 1), position + index + 1
    raise ProtobufError("a number of over ten bytes")
