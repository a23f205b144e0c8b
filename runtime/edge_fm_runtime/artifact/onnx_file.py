"""Read the `.onnx` container without the onnx package: metadata and seal, and refuse unsafe files.

A model file is untrusted until this module has walked it. ONNX is one protobuf message; field numbers are
those of `onnx/onnx.proto` (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from edge_fm_runtime.errors import ModelError

MAX_MODEL_BYTES = 256 * 2**20
"""Size cap of a model file; the bundled models are below 2 MB."""

SEAL_KEY = "edge_fm.seal"
"""Metadata key of the seal: the SHA-256 over every other byte of the file."""

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_MAX_DEPTH = 8

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 8, 14, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_OPSET_DOMAIN = 1


@dataclass(frozen=True)
class OnnxFile:
    """A checked model file.

    Attributes:
        data: the whole file.
        metadata: `metadata_props` of the model.
        sealed: whether there is a seal; a file with a wrong one is refused.
    """

    data: bytes
    metadata: dict[str, str]
    sealed: bool


def parse(data: bytes) -> OnnxFile:
    """Check a model file and read its metadata.

    Raises:
        ModelError: the file is not ONNX, is over the size cap, refers to other files, uses sparse
            initialisers, functions or operators of a foreign domain, or was edited after it was sealed.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(
            f"the model has {len(data):,} bytes, the limit is {MAX_MODEL_BYTES:,}: export a smaller network"
        )
    metadata: dict[str, str] = {}
    unsealed = hashlib.sha256()
    has_graph = False
    for field in _fields(data):
        if field.number == _MODEL_METADATA:
            key, value = _entry(field.payload)
            metadata[key] = value
            if key == SEAL_KEY:
                continue
        elif field.number == _MODEL_GRAPH:
            has_graph = True
            _check_graph(field.payload, 0)
        elif field.number == _MODEL_OPSET:
            _check_domain(b"".join(f.payload for f in _fields(field.payload) if f.number == _OPSET_DOMAIN))
        elif field.number == _MODEL_FUNCTIONS:
            raise ModelError(
                "the model defines its own functions, which are not supported: inline them first"
            )
        unsealed.update(data[field.start : field.end])
    if not has_graph:
        raise ModelError("not an ONNX model: it has no graph. Give a file that 'edge-fm export' has written")
    seal = metadata.get(SEAL_KEY)
    if seal is not None and seal != unsealed.hexdigest():
        raise ModelError(
            "the model was changed after its export: its seal does not match. Copy or export it again"
        )
    return OnnxFile(data, metadata, sealed=seal is not None)


def with_metadata(data: bytes, entries: dict[str, str]) -> bytes:
    """Add metadata entries to a model and seal it.

    Args:
        data: a model without a seal and without these keys.
        entries: metadata keys and values.

    Returns:
        The bytes of the sealed model.
    """
    for key, value in entries.items():
        data += _encode_entry(key, value)
    return data + _encode_entry(SEAL_KEY, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class _Field:
    number: int
    payload: bytes
    varint: int
    start: int
    end: int


def _fields(data: bytes) -> Iterator[_Field]:
    """Yield the fields of one protobuf message.

    Raises:
        ModelError: the message is broken.
    """
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        payload, value = b"", 0
        if wire == _VARINT:
            value, position = _varint(data, position)
        elif wire == _BYTES:
            length, position = _varint(data, position)
            payload = data[position : position + length]
            position += length
        elif wire == _FIXED64:
            position += 8
        elif wire == _FIXED32:
            position += 4
        else:
            raise _not_onnx()
        if number == 0 or position > len(data):
            raise _not_onnx()
        yield _Field(number, payload, value, start, position)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _not_onnx()
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise _not_onnx()


def _entry(payload: bytes) -> tuple[str, str]:
    key = value = b""
    for field in _fields(payload):
        if field.number == _ENTRY_KEY:
            key = field.payload
        elif field.number == _ENTRY_VALUE:
            value = field.payload
    try:
        return key.decode(), value.decode()
    except UnicodeDecodeError:
        raise _not_onnx() from None


def _encode_entry(key: str, value: str) -> bytes:
    fields = b"".join(
        bytes([number << 3 | _BYTES]) + _encode_varint(len(text.encode())) + text.encode()
        for number, text in ((_ENTRY_KEY, key), (_ENTRY_VALUE, value))
    )
    return bytes([_MODEL_METADATA << 3 | _BYTES]) + _encode_varint(len(fields)) + fields


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _check_graph(data: bytes, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ModelError(f"the model nests graphs more than {_MAX_DEPTH} deep: export a flat graph")
    for field in _fields(data):
        if field.number == _GRAPH_NODE:
            _check_node(field.payload, depth)
        elif field.number == _GRAPH_INITIALIZER:
            _check_tensor(field.payload)
        elif field.number == _GRAPH_SPARSE:
            raise _sparse()


def _check_node(data: bytes, depth: int) -> None:
    for field in _fields(data):
        if field.number == _NODE_DOMAIN:
            _check_domain(field.payload)
        elif field.number == _NODE_ATTRIBUTE:
            for part in _fields(field.payload):
                if part.number in {_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS}:
                    _check_tensor(part.payload)
                elif part.number in {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS}:
                    _check_graph(part.payload, depth + 1)
                elif part.number in {_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES}:
                    raise _sparse()


def _check_tensor(data: bytes) -> None:
    for field in _fields(data):
        if field.number == _TENSOR_EXTERNAL or (field.number == _TENSOR_LOCATION and field.varint != 0):
            raise ModelError(
                "the model stores weights in another file, which is not supported: save it as one file, "
                "for example with onnx.save(model, path, save_as_external_data=False)"
            )


def _check_domain(domain: bytes) -> None:
    name = domain.decode(errors="replace")
    if name not in _DOMAINS:
        raise ModelError(
            f"the model uses operators of the domain {name!r}, which are not supported: export it with standard ones"
        )


def _sparse() -> ModelError:
    return ModelError(
        "the model has sparse initialisers, which are not supported: save it with dense weights"
    )


def _not_onnx() -> ModelError:
    return ModelError("not an ONNX model, or damaged. Give a file that 'edge-fm export' has written")
