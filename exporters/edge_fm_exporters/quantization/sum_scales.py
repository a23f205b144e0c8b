"""Choose scales at which x86 and ARM64 round every quantised sum alike (docs/decisions/0027).

onnxruntime's QLinearAdd computes in float32 on x86 and with 22-bit integer multipliers on ARM64. Where a sum
lies within about 1e-4 levels of the border between two levels, they may round it to different ones, and the
layers behind make that visible in the probabilities. A sum has only 65,536 pairs of levels: all are checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto, only_consumer

_LEVELS = np.arange(256)
_MULTIPLIER_BITS = 22
_MAX_STEPS = 1000
"""Scales to try, each the next smaller float32; the bundled models need 9 at most."""


@dataclass(frozen=True)
class Quantization:
    """Scale of a uint8 tensor, float32, and the level that stands for zero."""

    scale: np.float32
    zero: int


@dataclass(frozen=True)
class QuantizedSum:
    """The two terms and the total of a sum, computed in several ways for each pair of levels.

    Each way returns the levels of the total, (256, 256) uint8; the first axis is the left term's level.
    """

    left: Quantization
    right: Quantization
    total: Quantization

    def exact(self) -> NDArray[np.uint8]:
        """Round the exact value to the nearest level."""
        left, right = (
            (_LEVELS - term.zero) * (float(term.scale) / float(self.total.scale))
            for term in (self.left, self.right)
        )
        return _levels(left[:, None] + right[None] + self.total.zero)

    def on_x86(self, *, fused: bool) -> NDArray[np.uint8]:
        """Compute in float32, as x86 does.

        Args:
            fused: whether a product is added before it is rounded, as with AVX2.
        """
        left, right = self._ratios()
        offset = np.float32(self.total.zero) - (
            left * np.float32(self.left.zero) + right * np.float32(self.right.zero)
        )
        if fused:  # float64 holds a product and its sum exactly, and the conversion rounds them once
            partial = (_LEVELS * float(right) + float(offset)).astype(np.float32)
            return _levels(((_LEVELS * float(left))[:, None] + partial[None]).astype(np.float32))
        levels = _LEVELS.astype(np.float32)
        return _levels((levels * left + offset)[:, None] + (levels * right)[None])

    def on_arm64(self) -> NDArray[np.uint8]:
        """Compute with integer multipliers and round halves away from zero, as ARM64 does."""
        ratios = self._ratios()
        shift = _MULTIPLIER_BITS - int(np.frexp(max(ratios))[1])
        left, right = (
            (_LEVELS - term.zero) * int(np.rint(float(ratio) * 2.0**shift))
            for term, ratio in zip((self.left, self.right), ratios, strict=True)
        )
        total = left[:, None] + right[None]
        return _levels(((total - (total < 0) + (1 << (shift - 1))) >> shift) + self.total.zero)

    def rounds_alike(self) -> bool:
        """Return whether every processor rounds every pair to the nearest level."""
        exact = self.exact()
        ways = self.on_x86(fused=True), self.on_x86(fused=False), self.on_arm64()
        return all(np.array_equal(way, exact) for way in ways)

    def _ratios(self) -> tuple[np.float32, np.float32]:
        return self.left.scale / self.total.scale, self.right.scale / self.total.scale


def align(model: ModelProto) -> ModelProto:
    """Lower the scales of sums until all processors round alike, and return the model.

    A scale changes by about a millionth, so the biases of the layers behind, which are in units of it, stay
    as they are. A sum that has no such scale near its own keeps its own.

    Args:
        model: QDQ; it is changed.
    """
    from onnx import numpy_helper

    for own, constant in _located(model):
        scale = _scale_that_rounds_alike(own)
        shape = numpy_helper.to_array(constant).shape
        constant.CopyFrom(numpy_helper.from_array(np.full(shape, scale, np.float32), constant.name))
    return model


def sums(model: ModelProto) -> list[QuantizedSum]:
    """Return the sums of a QDQ model, in the order of its nodes."""
    return [own for own, _ in _located(model)]


def _located(model: ModelProto) -> Iterator[tuple[QuantizedSum, Any]]:
    """Yield each sum of three uint8 tensors, with the constant that holds the scale of its total."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        quantizer = only_consumer(graph, node.output[0])
        if node.op_type != "Add" or quantizer is None or quantizer.op_type != "QuantizeLinear":
            continue
        terms = [_source(makers, name) for name in node.input]
        found = [_quantization(constants, pair) for pair in (*terms, quantizer)]
        known = [quantization for quantization in found if quantization is not None]
        if len(known) == len(found):
            yield QuantizedSum(*known), constants[quantizer.input[1]]


def _source(makers: dict[str, Any], name: str) -> Any:  # noqa: ANN401  # onnx ships no types
    """Return the node that makes a tensor, before it is laid out anew; None for a constant or an input."""
    node = makers.get(name)
    while node is not None and node.op_type in {"Transpose", "Reshape"}:
        node = makers.get(node.input[0])
    return node


def _quantization(constants: dict[str, Any], node: Any) -> Quantization | None:  # noqa: ANN401
    """Return the quantisation of a QuantizeLinear or DequantizeLinear; None unless it is one of uint8."""
    from onnx import numpy_helper

    if node is None or node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
        return None
    scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    if scale.size != 1 or zero.dtype != np.uint8:
        return None
    return Quantization(np.float32(scale.item()), int(zero.item()))


def _scale_that_rounds_alike(own: QuantizedSum) -> np.float32:
    """Return the greatest scale, up to the sum's own, at which it rounds alike; its own if none is near."""
    tried = own
    for _ in range(_MAX_STEPS):
        if tried.rounds_alike():
            return tried.total.scale
        smaller = np.nextafter(tried.total.scale, np.float32(0))
        tried = replace(tried, total=replace(tried.total, scale=smaller))
    return own.total.scale


def _levels(values: NDArray[np.floating | np.integer]) -> NDArray[np.uint8]:
    """Round halves to even and clip, (256, 256) uint8."""
    levels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels
