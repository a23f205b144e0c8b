"""Shrink an image from the means of its blocks, with nearly the result of shrinking every pixel.

A JPEG decoded at 1/2, 1/4 or 1/8 of its size gives the mean of each block of 2, 4 or 8 pixels square
(libjpeg-turbo's jidctred.c), so the integral of the full-size image along a line is known at the edges of
blocks. Between the edges it is interpolated by a cubic through the four nearest ones (Lagrange's polynomial),
and the mean over an output pixel is the difference of the integral at its two ends. Shrinking the means by
area, as if they were pixels, is the same with linear interpolation, and has three times the error
(docs/decisions/0005).

With Lanczos' filter, a block counts as a pixel at its centre, as Pillow's `resize` counts the pixels of the
full-size image (its src/libImaging/Resample.c).

All sums are integers small enough to be exact, so every processor rounds alike.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Interpolation

_ExactFloat = TypeVar("_ExactFloat", np.float32, np.float64)

_ONE = 2**15
"""Sum of the integer weights of one output pixel.

Sums of weights times grey levels stay below 2**24 after the first axis, where float32 is exact, and below
2**53 after the second, where float64 is exact."""

_LOBES = 3.0
"""Reach of Lanczos' filter to either side, in pixels of the result, or of the image if it is enlarged."""

_NODES = 4
"""Edges of blocks per interpolation: four for a cubic."""

_MAX_MULTIPLICATIONS = 2**18
"""Multiplications per matrix product.

With more, OpenBLAS wakes other threads, which then spin while they wait for work (its interface/gemm.c). The
cap also limits the temporary memory for a large image."""

_SMALL = 1200
"""Rows plus columns up to which the weights of many image sizes are cached.

They take 130 kB for an image of 400x533 pixels decoded at full size, and 2 MB for 12 megapixels."""


class Line(NamedTuple):
    """One axis of an image that was decoded in blocks.

    Attributes:
        length: length of the full-size image in pixels.
        block: pixels per block; the last block may have fewer. 1 at full size.
        is_reversed: whether the first block is the one that may have fewer pixels.
    """

    length: int
    block: int
    is_reversed: bool = False


@dataclass(frozen=True)
class Resampling:
    """The region of an image that is used, and its size in the input.

    Attributes:
        region: top, left, height and width in pixels of the image; whole ones, but for Lanczos' filter.
        size: height and width in pixels of the input.
        interpolation: filter between the two.
    """

    region: tuple[float, float, float, float]
    size: tuple[int, int]
    interpolation: Interpolation = Interpolation.AREA

    @property
    def ratio(self) -> float:
        """Image pixels per input pixel, along the axis with fewer."""
        return min(self.region[2] / self.size[0], self.region[3] / self.size[1])


class _Span(NamedTuple):
    """One axis of a resampling."""

    start: float
    extent: float
    size: int
    interpolation: Interpolation


def shrink(
    means: NDArray[np.uint8],
    rows: Line,
    columns: Line,
    resampling: Resampling,
) -> NDArray[np.uint8]:
    """Shrink a region of an image; Lanczos' filter enlarges it too.

    Args:
        means: (rows, columns) or (rows, columns, channels) uint8, the mean of each block.
        rows: the vertical axis.
        columns: the horizontal axis.
        resampling: region of the full-size image, and (height, width) of the result; by area, neither is
            larger than in the region.

    Returns:
        (height, width) or (height, width, channels) uint8 in [0, 255].
    """
    down, across = means.shape[:2]
    (height, width), channels = resampling.size, means.size // (down * across)
    cached_plan = _small_plan if down + across <= _SMALL else _large_plan
    plan = cached_plan(rows, columns, resampling, (down, across, channels))
    shrunk_down = _product(plan.row_weights, plan.row_steps, means.reshape(down, -1))
    if means.ndim == 2:  # noqa: PLR2004
        shrunk = _product(plan.column_weights, plan.column_steps, shrunk_down.T).T
    else:
        planes = shrunk_down.reshape(height, across, -1).swapaxes(1, 2).reshape(-1, across)
        shrunk_planes = _product(plan.column_weights, plan.column_steps, planes.T).T
        shrunk = shrunk_planes.reshape(height, -1, width).swapaxes(1, 2)
    shrunk *= 1 / _ONE**2
    np.rint(shrunk, out=shrunk)
    np.maximum(shrunk, 0, out=shrunk)
    np.minimum(shrunk, 255, out=shrunk)
    return shrunk.astype(np.uint8, order="C")


_Steps = tuple[tuple[int, int, int, int], ...]
"""Row ranges [start, stop) of a weight matrix, each with its columns [first, last) that are not zero."""


class _Plan(NamedTuple):
    """Integer weights of each block in each output pixel; each row of a matrix sums to `_ONE`.

    Attributes:
        row_weights: (height, down) float32.
        row_steps: the ranges in which `row_weights` is multiplied.
        column_weights: (width, across) float64.
        column_steps: the ranges in which `column_weights` is multiplied.
    """

    row_weights: NDArray[np.float32]
    row_steps: _Steps
    column_weights: NDArray[np.float64]
    column_steps: _Steps


def _plan(rows: Line, columns: Line, resampling: Resampling, shape: tuple[int, int, int]) -> _Plan:
    (top, left, tall, wide), (height, width) = resampling.region, resampling.size
    down, across, channels = shape
    cached_weights = _small_weights if down + across <= _SMALL else _weights
    row_weights = cached_weights(rows, down, _Span(top, tall, height, resampling.interpolation))
    column_weights = cached_weights(columns, across, _Span(left, wide, width, resampling.interpolation))
    return _Plan(
        row_weights.astype(np.float32),
        _steps(row_weights, across * channels),
        column_weights,
        _steps(column_weights, height * channels),
    )


def _product(left: NDArray[_ExactFloat], steps: _Steps, right: NDArray[np.generic]) -> NDArray[_ExactFloat]:
    """Return the product of two matrices in the type of the left one, which is zero outside its steps."""
    parts = [
        left[row:stop, first:last] @ right[first:last].astype(left.dtype) for row, stop, first, last in steps
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _steps(weights: NDArray[np.float64], columns: int) -> _Steps:
    """Return the ranges of rows that are multiplied at once, each with the columns that it spans."""
    is_used, count = weights != 0, weights.shape[1]
    firsts, lasts = is_used.argmax(axis=1), count - is_used[:, ::-1].argmax(axis=1)
    starts = np.minimum.accumulate(firsts[::-1])[::-1].tolist()
    ends = np.maximum.accumulate(lasts).tolist()
    steps, row = [], 0
    while row < len(starts):
        stop = row + 1
        while (
            stop < len(starts)
            and (stop + 1 - row) * (ends[stop] - starts[row]) * columns <= _MAX_MULTIPLICATIONS
        ):
            stop += 1
        steps.append((row, stop, starts[row], ends[stop - 1]))
        row = stop
    return tuple(steps)


def _weights(line: Line, count: int, span: _Span) -> NDArray[np.float64]:
    """Return (size, count) float64: integer weights of blocks in output pixels; rows sum to `_ONE`."""
    edges = np.minimum(np.arange(count + 1) * line.block, line.length).astype(np.float64)
    if line.is_reversed:
        edges = line.length - edges[::-1]
    exact = (
        _lanczos(edges, span) if span.interpolation is Interpolation.LANCZOS else _by_area(line, edges, span)
    )
    sums = np.rint(np.cumsum(exact, axis=1) * _ONE)
    weights: NDArray[np.float64] = np.diff(sums, axis=1, prepend=0)
    return weights


def _lanczos(edges: NDArray[np.float64], span: _Span) -> NDArray[np.float64]:
    """Return (size, blocks): sinc(x) sinc(x / 3) within three pixels of the result, normalised."""
    scale = span.extent / span.size
    centres = span.start + scale * (np.arange(span.size) + 0.5)
    distances = ((edges[1:] + edges[:-1]) / 2 - centres[:, None]) / max(scale, 1.0)
    window = np.sinc(distances) * np.sinc(distances / _LOBES) * np.diff(edges)
    window[np.abs(distances) >= _LOBES] = 0
    exact: NDArray[np.float64] = window / window.sum(axis=1, keepdims=True)
    return exact


def _by_area(line: Line, edges: NDArray[np.float64], span: _Span) -> NDArray[np.float64]:
    """Return (size, blocks): the mean over each output pixel, of the interpolated integral."""
    ends = span.start + span.extent * np.arange(span.size + 1) / span.size
    # Within a pixel the integral is linear.
    nodes = 2 if line.block == 1 else min(_NODES, len(edges))
    integral = _interpolation(ends, edges, nodes)
    # The integral up to an edge is the sum over the blocks before it of mean times length.
    after = np.cumsum((integral[1:] - integral[:-1])[:, ::-1], axis=1)[:, ::-1][:, 1:]
    exact: NDArray[np.float64] = after * np.diff(edges) * (span.size / span.extent)
    return exact


_small_weights = lru_cache(maxsize=256)(_weights)  # images of many heights often have one width
_small_plan = lru_cache(maxsize=256)(_plan)
_large_plan = lru_cache(maxsize=8)(_plan)


def _interpolation(
    points: NDArray[np.float64], edges: NDArray[np.float64], nodes: int
) -> NDArray[np.float64]:
    """Return (points, edges): the weight of the value at each edge in the interpolation at each point."""
    before = np.searchsorted(edges, points, side="right") - 1
    first = np.clip(before - nodes // 2 + 1, 0, len(edges) - nodes)
    indices = first[:, None] + np.arange(nodes)
    known = edges[indices]
    others = ~np.eye(nodes, dtype=bool)
    above = np.where(others, (points[:, None] - known)[:, None, :], 1).prod(axis=2)
    below = np.where(others, known[:, :, None] - known[:, None, :], 1).prod(axis=2)
    weights = np.zeros((len(points), len(edges)))
    np.put_along_axis(weights, indices, above / below, axis=1)
    return weights
