"""Ranges of activations that lose least information, for int8.

For each share of an activation's whole range: clip its values to that, put them into 255 levels, and compare what comes out with
what was there; the share with the least Kullback-Leibler divergence is taken (Migacz, 2017, "8-bit Inference with TensorRT").
Zeros are left out: behind a Relu they are half of all values, are kept exactly by every range, and would outweigh all else.
onnxruntime's own search does not leave them out, and with its usual 128 bins it has one range to choose from, the whole one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.activations import activations
from edge_fm_exporters.graph import ModelProto

Range = tuple[float, float]

_BINS = 2048
_LEVELS = 255
_SHARES = np.linspace(1, 0.4, 61)
_LEAST = 1e-9


def ranges(
    model: ModelProto, kinds: frozenset[str], batches: Iterable[NDArray[np.float32]]
) -> dict[str, Range]:
    """Return (lowest, highest) for the float outputs of all nodes of some kinds.

    Args:
        model: float32, with one input, its shapes and types inferred.
        kinds: operators.
        batches: of its input; gone through twice.
    """
    from onnx import TensorProto

    floats = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    names = [
        node.output[0] for node in model.graph.node if node.op_type in kinds and node.output[0] in floats
    ]
    whole = dict.fromkeys(names, (0.0, 0.0))
    for found in activations(model, names, batches):
        for name, values in zip(names, found, strict=True):
            low, high = whole[name]
            finite = values[np.isfinite(values)]
            whole[name] = float(finite.min(initial=low)), float(finite.max(initial=high))
    counts = {name: np.zeros(_BINS) for name in names}
    for found in activations(model, names, batches):
        for name, values in zip(names, found, strict=True):
            counts[name] += np.histogram(values[np.isfinite(values) & (values != 0)], _BINS, whole[name])[0]
    return {name: best_range(counts[name], whole[name]) for name in names}


def best_range(counts: NDArray[np.float64], whole: Range) -> Range:
    """Return the part of a range, shrunk towards zero, that loses least.

    Args:
        counts: how many values there were in each of as many bins of one width.
        whole: the lowest and the highest of them, zero between.
    """
    low, high = whole
    if counts.sum() == 0 or high <= low:
        return whole
    centres = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    losses = [_loss(counts, centres, share * low, share * high) for share in _SHARES]
    share = float(_SHARES[int(np.argmin(losses))])
    return share * low, share * high


def _loss(counts: NDArray[np.float64], centres: NDArray[np.float64], low: float, high: float) -> float:
    """Return the divergence of values in levels between two ends from the values themselves, those outside at the ends."""
    inside = (centres >= low) & (centres <= high)
    kept = counts[inside]
    if kept.sum() == 0:
        return np.inf
    clipped = kept.copy()
    clipped[0] += counts[centres < low].sum()
    clipped[-1] += counts[centres > high].sum()
    level = np.minimum(((centres[inside] - low) / (high - low) * _LEVELS).astype(int), _LEVELS - 1)
    filled = np.bincount(level, kept > 0, _LEVELS)
    sums = np.bincount(level, kept, _LEVELS)
    spread = np.where(kept > 0, (sums / np.maximum(filled, 1))[level], 0)
    p, q = clipped / clipped.sum(), np.maximum(spread / spread.sum(), _LEAST)
    return float((p * np.log(np.maximum(p, _LEAST) / q)).sum())
