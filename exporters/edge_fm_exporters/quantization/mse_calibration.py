"""Ranges of activations with the least mean squared error, for int8.

A wide range has wide steps, and a narrow one clips what lies outside. For each of several shares of an
activation's whole range both errors are added up over what it was on the calibration pictures, and the share
with the least is taken (Nagel and others, 2021, "A White Paper on Neural Network Quantization",
arXiv:2106.08295, section 3.1). Zeros are left out: every range keeps them exactly.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.quantization.activations import activations

Range = tuple[float, float]

_BINS = 2048
_STEPS = 255
_SHARES = np.linspace(1, 0.4, 61)
_LEAST_WIDTH = _BINS / float(np.finfo(np.float32).max)
"""Of a range whose bins float32 can tell apart, 6e-36."""


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
            finite = _finite(values)
            whole[name] = float(finite.min(initial=low)), float(finite.max(initial=high))
    counts = {name: np.zeros(_BINS, np.int64) for name in names}
    for found in activations(model, names, batches):
        for name, values in zip(names, found, strict=True):
            counts[name] += histogram(_finite(values), whole[name])
    return {name: best_range(counts[name], whole[name]) for name in names}


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the finite values, checking each only if their sum is not finite."""
    flat = values.ravel()
    with np.errstate(all="ignore"):
        return flat if np.isfinite(flat.sum()) else flat[np.isfinite(flat)]


def histogram(values: NDArray[np.float32], whole: Range) -> NDArray[np.int64]:
    """Count non-zero values in bins of equal width; all zero for an empty range.

    Twice as fast as NumPy's, which leaves none on the wrong side of an edge.

    Args:
        values: (N,), all of them within the range.
        whole: the lowest and the highest value; zero lies between.
    """
    low, high = whole
    if high - low <= _LEAST_WIDTH:
        return np.zeros(_BINS, np.int64)
    scale = _BINS / (high - low)
    places = values * np.float32(scale)
    places -= np.float32(low * scale)
    np.minimum(places, _BINS - 1, out=places)
    counts = np.bincount(places.astype(np.intp), minlength=_BINS)
    counts[min(int(np.float32(-low * scale)), _BINS - 1)] -= len(values) - np.count_nonzero(values)
    return counts


def best_range(counts: NDArray[np.int64], whole: Range) -> Range:
    """Return the part of a range, shrunk towards zero, that errs least.

    Args:
        counts: how many values there were in each of as many bins of one width.
        whole: the lowest and the highest of them, zero between.
    """
    low, high = whole
    if counts.sum() == 0 or high <= low:
        return whole
    centres = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    errors = [_error(counts, centres, share * low, share * high) for share in _SHARES]
    share = float(_SHARES[int(np.argmin(errors))])
    return share * low, share * high


def _error(counts: NDArray[np.int64], centres: NDArray[np.float64], low: float, high: float) -> float:
    """Return the summed squared error of values that are clipped to a range and rounded to its steps.

    Rounding errs by a twelfth of a step squared on average, as it may fall anywhere within half a step.
    """
    rounding = ((high - low) / _STEPS) ** 2 / 12
    outside = np.maximum(np.maximum(low - centres, centres - high), 0) ** 2
    return float(counts @ np.where(outside > 0, outside, rounding))
