"""Read the `.onnx` container without the onnx package: metadata and seal, and refuse unsafe files.

A model file is untrusted until this module has walked it; its graph is checked in `onnx_graph.py`. ONNX is
one protobuf message; field numbers are those of `onnx/onnx.proto` (ModelProto, StringStringEntryProto).
"""

import hashlib
from dataclasses import dataclass

from edge_fm_runtime.artifact.onnx_graph import GraphChecker, check_domain, not_onnx
from edge_fm_runtime.artifact.protobuf import encode_bytes
from edge_fm_runtime.errors import ModelError

MAX_MODEL_BYTES = 256 * 2**20
"""Size cap of a model file; the bundled models are below 2 MB."""

SEAL_KEY = "edge_fm.seal"
"""Metadata key of the seal: the SHA-256 over every other byte of the file."""

_MAX_STRUCTURE_BYTES = 8 * 2**20
"""Largest size of everything but weights and metadata; parsed, it takes up to forty times as much memory."""

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 8, 14, 25
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
        ModelError: the file is not ONNX, is over a size limit, has a graph that `GraphChecker` refuses,
            defines functions, or was edited after it was sealed.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(
            f"the model has {len(data):,} bytes, the limit is {MAX_MODEL_BYTES:,}: export a smaller network"
        )
    metadata: dict[str, str] = {}
    unsealed = hashlib.sha256()
    checker = GraphChecker()
    graphs = metadata_bytes = 0
    view = memoryview(data)
    for field in checker.walk(view):
        if field.number == _MODEL_METADATA:
            key, value = _entry(checker, field.payload)
            metadata[key] = value
            metadata_bytes += len(field.payload)
            if key == SEAL_KEY:
                continue
        elif field.number == _MODEL_GRAPH:
            graphs += 1
            checker.check_graph(field.payload)
        elif field.number == _MODEL_OPSET:
            _check_opset(checker, field.payload)
        elif field.number == _MODEL_FUNCTIONS:
            raise ModelError(
                "the model defines its own functions, which are not supported: inline them first"
            )
        unsealed.update(view[field.start : field.end])
    if graphs != 1:
        raise ModelError(
            f"not an ONNX model: it has {graphs or 'no'} graph{'s' if graphs else ''}. "
            "Give a file that 'edge-fm export' has written"
        )
    _check_structure(len(data) - checker.weight_bytes - metadata_bytes)
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


def _check_opset(checker: GraphChecker, payload: memoryview) -> None:
    for field in checker.walk(payload):
        if field.number == _OPSET_DOMAIN:
            check_domain(field.payload)


def _check_structure(size: int) -> None:
    if size > _MAX_STRUCTURE_BYTES:
        raise ModelError(
            f"the model has {size:,} bytes beside its weights, the limit is {_MAX_STRUCTURE_BYTES:,}: export a "
            "smaller network, with its weights as raw data"
        )


def _entry(checker: GraphChecker, payload: memoryview) -> tuple[str, str]:
    key = value = b""
    for field in checker.walk(payload):
        if field.number == _ENTRY_KEY:
            key = bytes(field.payload)
        elif field.number == _ENTRY_VALUE:
            value = bytes(field.payload)
    try:
        return key.decode(), value.decode()
    except UnicodeDecodeError:
        raise not_onnx() from None


def _encode_entry(key: str, value: str) -> bytes:
    entry = encode_bytes(_ENTRY_KEY, key.encode()) + encode_bytes(_ENTRY_VALUE, value.encode())
    return encode_bytes(_MODEL_METADATA, entry)
