"""Check the graph of a model file before any library reads it: size, operators, tensors.

Field numbers are those of `onnx/onnx.proto` (GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_fm_runtime.artifact.protobuf import FIXED32, FIXED64, BrokenMessageError, WireField, fields, packed
from edge_fm_runtime.errors import ModelError

MAX_NODES = 10_000
"""Largest number of nodes; the largest networks of Keras' applications have about 2,000."""

_MAX_FIELDS = 1_000_000
"""Fields that are walked through, about two seconds' worth; a model of `MAX_NODES` has about half."""

_MAX_RANK = 64
_MAX_DIMENSION = 2**31

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_CONTROL_FLOW = {"Loop", "Scan", "If"}

# Field numbers of onnx.proto.
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 3, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_TENSOR_FLOATS, _TENSOR_DOUBLES, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 4, 10, 13, 14
_TENSOR_VALUES = {4, 5, 6, 7, 10, 11}
"""Typed alternatives to raw_data."""

_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    15: 128,
}
"""Bits of an element in raw_data, by the number of its type; strings (8) have no raw_data."""

_STRING = 8
_ELEMENTS_PER_BYTE = 4
"""Most elements that a byte of typed values can stand for, those of two bits."""


class GraphChecker:
    """Walks through a model's messages and refuses what no small classifier needs.

    Attributes:
        weight_bytes: bytes of weights so far; the rest of a file is its structure.
    """

    def __init__(self) -> None:
        self.weight_bytes = 0
        self._fields = 0
        self._nodes = 0

    def walk(self, data: bytes | memoryview) -> Iterator[WireField]:
        """Yield the fields of a message, counted.

        Raises:
            ModelError: the message is broken, or the model has too many fields.
        """
        try:
            for field in fields(data):
                self._fields += 1
                if self._fields > _MAX_FIELDS:
                    raise ModelError(
                        f"the model has over {_MAX_FIELDS:,} parts, more than any small classifier: export a smaller network"
                    )
                yield field
        except BrokenMessageError:
            raise not_onnx() from None

    def check_graph(self, data: memoryview) -> None:
        """Check a graph.

        Raises:
            ModelError: it has too many nodes, control flow, operators of a foreign domain, sparse or external
                weights, or a tensor whose sizes contradict each other.
        """
        for field in self.walk(data):
            if field.number == _GRAPH_NODE:
                self._check_node(field.payload)
            elif field.number == _GRAPH_INITIALIZER:
                self._check_tensor(field.payload)
            elif field.number == _GRAPH_SPARSE:
                raise _sparse()

    def _check_node(self, data: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ModelError(
                f"the model has over {MAX_NODES:,} nodes, more than any small classifier: export a smaller network"
            )
        name = operator = ""
        has_graph = False
        for field in self.walk(data):
            if field.number == _NODE_DOMAIN:
                check_domain(field.payload)
            elif field.number == _NODE_NAME:
                name = text(field.payload)
            elif field.number == _NODE_OPERATOR:
                operator = text(field.payload)
            elif field.number == _NODE_ATTRIBUTE:
                has_graph |= self._check_attribute(field.payload)
        if has_graph or operator in _CONTROL_FLOW:
            raise ModelError(
                f"the model has the node {name!r:.60} of the operator {operator!r:.60}, which can repeat or "
                "choose work, so it is not opened: export the network again without loops and conditions"
            )

    def _check_attribute(self, data: memoryview) -> bool:
        """Check an attribute; return whether it has a graph of its own."""
        tensors, has_graph = 0, False
        for field in self.walk(data):
            if field.number in {_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS}:
                tensors += field.number == _ATTRIBUTE_TENSOR
                self._check_tensor(field.payload)
            elif field.number in {_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES}:
                raise _sparse()
            has_graph |= field.number in {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS}
        if tensors > 1:  # a parser would merge them into one that was not checked
            raise not_onnx()
        return has_graph

    def _check_tensor(self, data: memoryview) -> None:
        tensor = _TensorSizes()
        name = ""
        for field in self.walk(data):
            if field.number == _TENSOR_EXTERNAL or (field.number == _TENSOR_LOCATION and field.varint != 0):
                raise ModelError(
                    "the model stores weights in another file, which is not supported: save it as one file, "
                    "for example with onnx.save(model, path, save_as_external_data=False)"
                )
            if field.number == _TENSOR_NAME:
                name = text(field.payload)
            try:
                tensor.add(field)
            except BrokenMessageError:
                raise not_onnx() from None
            if field.number in {_TENSOR_RAW, _TENSOR_FLOATS, _TENSOR_DOUBLES}:
                self.weight_bytes += len(field.payload)
        if fault := tensor.fault():
            raise ModelError(
                f"the tensor {name!r:.60} of the model has {fault}: the file is damaged, export it again"
            )


@dataclass(slots=True)
class _TensorSizes:
    """Sizes that a tensor declares, and those that it has.

    Attributes:
        type: number of its element type.
        rank: number of dimensions.
        elements: product of the dimensions.
        raw: bytes of raw_data; None without.
        values: bytes of typed values.
        wrong: a dimension that is out of range; None if all are in it.
    """

    type: int = 0
    rank: int = 0
    elements: int = 1
    raw: int | None = None
    values: int = 0
    wrong: int | None = None

    def add(self, field: WireField) -> None:
        """Take a field of the tensor into account."""
        if field.number == _TENSOR_DIMS:
            for size in packed(field):
                self.rank += 1
                if not 0 <= size <= _MAX_DIMENSION or self.rank > _MAX_RANK:
                    self.wrong = size
                    return
                self.elements *= size
        elif field.number == _TENSOR_TYPE:
            self.type = field.varint
        elif field.number == _TENSOR_RAW:
            self.raw = len(field.payload)
        elif field.number in _TENSOR_VALUES:
            self.values += len(field.payload) or {FIXED32: 4, FIXED64: 8}.get(field.wire, 1)

    def fault(self) -> str:
        """Return how the sizes contradict each other, empty if they do not."""
        if self.wrong is not None:
            return f"a dimension of {self.wrong} or more than {_MAX_RANK} dimensions"
        if self.type != _STRING and self.type not in _BITS:
            return f"elements of the unknown type {self.type}"
        if self.raw is not None and self.type != _STRING:
            expected = (self.elements * _BITS[self.type] + 7) // 8
            return "" if self.raw == expected else f"{self.raw:,} bytes, and its dimensions say {expected:,}"
        if self.elements > self.values * _ELEMENTS_PER_BYTE:
            return f"{self.elements:,} elements by its dimensions, and {self.values:,} bytes of values"
        return ""


def check_domain(domain: memoryview) -> None:
    """Refuse operators that are not standard.

    Raises:
        ModelError: the domain is a foreign one.
    """
    name = text(domain)
    if name not in _DOMAINS:
        raise ModelError(
            f"the model uses operators of the domain {name!r:.60}, which are not supported: export it with standard ones"
        )


def text(payload: memoryview) -> str:
    """Return a string field, bytes that are not UTF-8 replaced."""
    return bytes(payload).decode(errors="replace")


def not_onnx() -> ModelError:
    """Return the error for bytes that are no model."""
    return ModelError("not an ONNX model, or damaged. Give a file that 'edge-fm export' has written")


def _sparse() -> ModelError:
    return ModelError(
        "the model has sparse initialisers, which are not supported: save it with dense weights"
    )
