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
    (top, left, tall, wide), (height, width), (down, across) = region, size, means.shape[:2]
    by_rows = _weights(rows, down, top, tall, height)
    by_columns = _weights(columns, across, left, wide, width)
    half = _product(by_rows.single, by_rows.spans, means.reshape(down, -1))
    if means.ndim == 2:  # noqa: PLR2004
        whole = _product(by_columns.double, by_columns.spans, half.T).T
    else:
        apart = half.reshape(height, across, -1).swapaxes(1, 2).reshape(-1, across)
        whole = (
            _product(by_columns.double, by_columns.spans, apart.T).T.reshape(height, -1, width).swapaxes(1, 2)
        )
    whole *= 1 / _ONE**2
    np.rint(whole, out=whole)
    np.maximum(whole, 0, out=whole)
    np.minimum(whole, 255, out=whole)
    return whole.astype(np.uint8, order="C")


class _Weights(NamedTuple):
    """What each block gives to each pixel, in whole numbers; each row sums to `_ONE`.

    Attributes:
        single: (size, count) float32.
        double: the same in float64.
        spans: for each row, the blocks from the first to behind the last that give anything.
    """

    single: NDArray[np.float32]
    double: NDArray[np.float64]
    spans: tuple[tuple[int, int], ...]


def _product(
    left: NDArray[_Exact], spans: tuple[tuple[int, int], ...], right: NDArray[np.generic]
) -> NDArray[_Exact]:
    """Return the product of two matrices, in the type of the left one, which is zero outside the spans of its rows."""
    parts = [
        left[row:stop, first:last] @ right[first:last].astype(left.dtype)
        for row, stop, first, last in _steps(spans, right.shape[1])
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@lru_cache(maxsize=256)
def _steps(spans: tuple[tuple[int, int], ...], columns: int) -> list[tuple[int, int, int, int]]:
    """Return which rows are taken together, and what they span: as many as are multiplied at once."""
    steps, row = [], 0
    while row < len(spans):
        stop = row + 1
        while stop < len(spans) and (stop + 1 - row) * (spans[stop][1] - spans[row][0]) * columns <= _AT_ONCE:
            stop += 1
        steps.append((row, stop, spans[row][0], spans[stop - 1][1]))
        row = stop
    return steps


@lru_cache(maxsize=256)
def _weights(line: Line, count: int, start: int, extent: int, size: int) -> _Weights:
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
    weights = np.diff(sums, axis=1, prepend=0)
    given = weights != 0
    firsts, lasts = given.argmax(axis=1), count - given[:, ::-1].argmax(axis=1)
    firsts, lasts = np.minimum.accumulate(firsts[::-1])[::-1], np.maximum.accumulate(lasts)
    spans = tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))
    return _Weights(weights.astype(np.float32), weights, spans)


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
