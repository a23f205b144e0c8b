"""Shrinking a picture of which only the means of its blocks are known, nearly as if every pixel were.

A JPEG decoded at 1/2, 1/4 or 1/8 of its size gives the mean of each block of 2, 4 or 8 pixels square (libjpeg-turbo's
jidctred.c), so the integral of the whole picture along a line is known at the edges of blocks. Between them it is a
cubic through the four nearest edges (Lagrange's polynomial), and the mean over a pixel of the result is the difference of the
integral at its two ends. Shrinking the means by area, as if they were pixels, is the same with straight lines, and errs three
times as much (docs/decisions/0005).

The sums are whole numbers small enough to be exact, so every processor rounds alike.
"""

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

_Exact = TypeVar("_Exact", np.float32, np.float64)

_ONE = 2**15
"""The sum of the weights of one pixel of the result. A weight times a grey level, summed, stays below 2**24, where
float32 is exact, and below 2**53 after the second axis, where float64 is."""

_NODES = 4

_AT_ONCE = 2**18
"""Multiplications in one call. With more, OpenBLAS wakes other threads, which then wait for work and keep a core busy (its
interface/gemm.c); it also keeps what a large picture needs beside itself small."""


_SMALL = 1200
"""Rows and columns together up to which the weights for many sizes of pictures are kept: 130 kB for each that is decoded whole
at 400x533. For 12 megapixels they are 2 MB."""


class Line(NamedTuple):
    """One axis of a picture that was decoded in blocks.

    Attributes:
        length: of the whole picture, in pixels.
        block: pixels in each block, but in the last one, which may hold fewer; 1 if every pixel is there.
        is_reversed: whether the block that may hold fewer comes first.
    """

    length: int
    block: int
    is_reversed: bool = False


def shrink(
    means: NDArray[np.uint8],
    rows: Line,
    columns: Line,
    region: tuple[int, int, int, int],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Return a region of a picture shrunk by area.

    Args:
        means: (rows, columns) or (rows, columns, channels) uint8, the mean of each block.
        rows: what the rows stand for.
        columns: what the columns stand for.
        region: top, left, height and width in pixels of the whole picture.
        size: (height, width) of the result, neither larger than the region's.

    Returns:
        (height, width) or (height, width, channels) uint8 in [0, 255].
    """
    down, across = means.shape[:2]
    (height, width), channels = size, means.size // (down * across)
    kept = _small_plan if down + across <= _SMALL else _large_plan
    plan = kept(rows, columns, region, size, (down, across, channels))
    half = _product(plan.single, plan.row_steps, means.reshape(down, -1))
    if means.ndim == 2:  # noqa: PLR2004
        whole = _product(plan.double, plan.column_steps, half.T).T
    else:
        apart = half.reshape(height, across, -1).swapaxes(1, 2).reshape(-1, across)
        turned = _product(plan.double, plan.column_steps, apart.T).T
        whole = turned.reshape(height, -1, width).swapaxes(1, 2)
    whole *= 1 / _ONE**2
    np.rint(whole, out=whole)
    np.maximum(whole, 0, out=whole)
    np.minimum(whole, 255, out=whole)
    return whole.astype(np.uint8, order="C")


_Steps = tuple[tuple[int, int, int, int], ...]
"""Rows from one up to another, and the columns from one up to another that are not zero in them."""


class _Plan(NamedTuple):
    """What each block gives to each pixel, in whole numbers; each row of a matrix sums to `_ONE`.

    Attributes:
        single: (height, down) float32, of the rows.
        row_steps: how it is multiplied.
        double: (width, across) float64, of the columns.
        column_steps: how that is.
    """

    single: NDArray[np.float32]
    row_steps: _Steps
    double: NDArray[np.float64]
    column_steps: _Steps


def _plan(
    rows: Line,
    columns: Line,
    region: tuple[int, int, int, int],
    size: tuple[int, int],
    shape: tuple[int, int, int],
) -> _Plan:
    (top, left, tall, wide), (height, width), (down, across, channels) = region, size, shape
    kept = _small_weights if down + across <= _SMALL else _weights
    by_rows = kept(rows, down, top, tall, height)
    by_columns = kept(columns, across, left, wide, width)
    return _Plan(
        by_rows.astype(np.float32),
        _steps(by_rows, across * channels),
        by_columns,
        _steps(by_columns, height * channels),
    )


def _product(left: NDArray[_Exact], steps: _Steps, right: NDArray[np.generic]) -> NDArray[_Exact]:
    """Return the product of two matrices, in the type of the left one, which is zero outside its steps."""
    parts = [
        left[row:stop, first:last] @ right[first:last].astype(left.dtype) for row, stop, first, last in steps
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _steps(weights: NDArray[np.float64], columns: int) -> _Steps:
    """Return which rows are taken together, and what they span: as many as are multiplied at once."""
    given, count = weights != 0, weights.shape[1]
    firsts, lasts = given.argmax(axis=1), count - given[:, ::-1].argmax(axis=1)
    starts = np.minimum.accumulate(firsts[::-1])[::-1].tolist()
    ends = np.maximum.accumulate(lasts).tolist()
    steps, row = [], 0
    while row < len(starts):
        stop = row + 1
        while stop < len(starts) and (stop + 1 - row) * (ends[stop] - starts[row]) * columns <= _AT_ONCE:
            stop += 1
        steps.append((row, stop, starts[row], ends[stop - 1]))
        row = stop
    return tuple(steps)


def _weights(line: Line, count: int, start: int, extent: int, size: int) -> NDArray[np.float64]:
    """Return (size, count) float64: what each block gives to each pixel, in whole numbers; each row sums to `_ONE`."""
    edges = np.minimum(np.arange(count + 1) * line.block, line.length).astype(np.float64)
    if line.is_reversed:
        edges = line.length - edges[::-1]
    ends = start + extent * np.arange(size + 1) / size
    # Within a pixel the integral is straight.
    nodes = 2 if line.block == 1 else min(_NODES, len(edges))
    integral = _interpolation(ends, edges, nodes)
    # The integral up to an edge is the sum of the blocks before it, each its mean times its length.
    after = np.cumsum((integral[1:] - integral[:-1])[:, ::-1], axis=1)[:, ::-1][:, 1:]
    exact = after * np.diff(edges) * (size / extent)
    sums = np.rint(np.cumsum(exact, axis=1) * _ONE)
    weights: NDArray[np.float64] = np.diff(sums, axis=1, prepend=0)
    return weights


_small_weights = lru_cache(maxsize=256)(_weights)  # pictures of many heights often have one width
_small_plan = lru_cache(maxsize=256)(_plan)
_large_plan = lru_cache(maxsize=8)(_plan)


def _interpolation(
    points: NDArray[np.float64], edges: NDArray[np.float64], nodes: int
) -> NDArray[np.float64]:
    """Return (points, edges): what the value at each edge counts for at each point."""
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
