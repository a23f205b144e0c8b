"""Handwritten digits as strokes through control points, in the usual variants of each digit.

Coordinates are (x, y) in a unit square, y downwards. `digit` displaces every control point at random, so no
two results are alike. The variants were drawn by hand for this project and copy no data set.
"""

import numpy as np
from numpy.typing import NDArray

Stroke = tuple[tuple[float, float], ...]
Path = NDArray[np.float64]
"""(N, 2) float64 points along a stroke."""

_O = (
    (0.5, 0.0),
    (0.2, 0.12),
    (0.1, 0.5),
    (0.2, 0.88),
    (0.5, 1.0),
    (0.8, 0.88),
    (0.9, 0.5),
    (0.8, 0.12),
    (0.5, 0.0),
)
_NARROW_O = (
    (0.5, 0.0),
    (0.3, 0.15),
    (0.25, 0.5),
    (0.3, 0.85),
    (0.5, 1.0),
    (0.7, 0.85),
    (0.75, 0.5),
    (0.7, 0.15),
    (0.5, 0.0),
)
_OPEN_O = (
    (0.6, 0.03),
    (0.3, 0.08),
    (0.12, 0.45),
    (0.25, 0.9),
    (0.55, 1.0),
    (0.85, 0.8),
    (0.88, 0.35),
    (0.65, 0.08),
    (0.45, 0.05),
)
_TOP_OF_TWO = ((0.12, 0.25), (0.25, 0.05), (0.55, 0.0), (0.82, 0.15), (0.8, 0.4), (0.5, 0.7))
_BELLY_OF_FIVE = ((0.2, 0.45), (0.5, 0.38), (0.82, 0.52), (0.85, 0.78), (0.6, 0.98), (0.3, 1.0), (0.1, 0.9))

VARIANTS: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: ((_O,), (_NARROW_O,), (_OPEN_O,)),
    1: (
        (((0.5, 0.0), (0.5, 1.0)),),
        (((0.25, 0.25), (0.55, 0.0)), ((0.55, 0.0), (0.55, 1.0))),
        (((0.25, 0.25), (0.55, 0.0)), ((0.55, 0.0), (0.55, 1.0)), ((0.25, 1.0), (0.85, 1.0))),
    ),
    2: (
        ((*_TOP_OF_TWO, (0.1, 1.0)), ((0.1, 1.0), (0.9, 0.98))),
        ((*_TOP_OF_TWO, (0.15, 0.95), (0.1, 0.85), (0.25, 0.8), (0.5, 0.93), (0.9, 1.0)),),
        (((0.15, 0.1), (0.5, 0.02), (0.85, 0.15), (0.75, 0.45), (0.15, 1.0), (0.5, 0.95), (0.9, 1.0)),),
    ),
    3: (
        (
            (
                *((0.15, 0.12), (0.45, 0.0), (0.8, 0.12), (0.78, 0.35), (0.45, 0.48)),
                *((0.8, 0.58), (0.88, 0.8), (0.55, 1.0), (0.12, 0.9)),
            ),
        ),
        (
            ((0.15, 0.0), (0.82, 0.0)),
            ((0.82, 0.0), (0.42, 0.4)),
            ((0.42, 0.4), (0.8, 0.5), (0.88, 0.78), (0.55, 1.0), (0.12, 0.9)),
        ),
        (
            ((0.12, 0.2), (0.5, 0.0), (0.85, 0.2), (0.4, 0.46)),
            ((0.4, 0.46), (0.9, 0.6), (0.75, 0.95), (0.35, 1.0), (0.1, 0.8)),
        ),
    ),
    4: (
        (((0.65, 0.0), (0.1, 0.65)), ((0.1, 0.65), (0.95, 0.65)), ((0.65, 0.0), (0.65, 1.0))),
        (((0.2, 0.0), (0.15, 0.5)), ((0.15, 0.5), (0.9, 0.5)), ((0.75, 0.05), (0.72, 1.0))),
        (((0.25, 0.0), (0.15, 0.35), (0.3, 0.55), (0.6, 0.5), (0.8, 0.35)), ((0.82, 0.0), (0.75, 1.0))),
    ),
    5: (
        (((0.85, 0.0), (0.2, 0.02)), ((0.2, 0.02), (0.18, 0.45)), ((0.18, 0.45), *_BELLY_OF_FIVE[1:])),
        (((0.2, 0.0), (0.18, 0.42)), _BELLY_OF_FIVE, ((0.2, 0.0), (0.85, 0.03))),
        (((0.85, 0.02), (0.35, 0.0), (0.2, 0.4), (0.55, 0.4), (0.85, 0.65), (0.6, 0.98), (0.1, 0.92)),),
    ),
    6: (
        (
            (
                (0.7, 0.0),
                (0.35, 0.2),
                (0.12, 0.6),
                (0.25, 0.95),
                (0.6, 1.0),
                (0.85, 0.8),
                (0.7, 0.55),
                (0.4, 0.55),
                (0.15, 0.75),
            ),
        ),
        (
            (
                (0.55, 0.0),
                (0.2, 0.4),
                (0.15, 0.8),
                (0.45, 1.0),
                (0.8, 0.9),
                (0.8, 0.65),
                (0.5, 0.55),
                (0.2, 0.7),
            ),
        ),
        (((0.35, 0.0), (0.2, 0.5), (0.25, 0.9), (0.55, 1.0), (0.78, 0.82), (0.62, 0.62), (0.25, 0.72)),),
    ),
    7: (
        (((0.1, 0.02), (0.88, 0.0)), ((0.88, 0.0), (0.4, 1.0))),
        (((0.1, 0.02), (0.88, 0.0)), ((0.88, 0.0), (0.4, 1.0)), ((0.3, 0.5), (0.85, 0.48))),
        (((0.12, 0.18), (0.12, 0.02)), ((0.12, 0.02), (0.88, 0.0)), ((0.88, 0.0), (0.6, 0.4), (0.48, 1.0))),
    ),
    8: (
        (
            (
                (0.75, 0.12),
                (0.45, 0.0),
                (0.2, 0.15),
                (0.35, 0.4),
                (0.7, 0.6),
                (0.85, 0.85),
                (0.5, 1.0),
                (0.15, 0.85),
                (0.3, 0.6),
                (0.68, 0.4),
                (0.8, 0.15),
                (0.6, 0.02),
            ),
        ),
        (
            ((0.5, 0.0), (0.25, 0.1), (0.25, 0.35), (0.5, 0.46), (0.75, 0.35), (0.75, 0.1), (0.5, 0.0)),
            ((0.5, 0.46), (0.15, 0.62), (0.18, 0.9), (0.5, 1.0), (0.82, 0.9), (0.85, 0.62), (0.5, 0.46)),
        ),
    ),
    9: (
        (
            ((0.8, 0.2), (0.5, 0.0), (0.2, 0.12), (0.18, 0.4), (0.5, 0.5), (0.78, 0.3)),
            ((0.8, 0.15), (0.75, 0.6), (0.6, 1.0)),
        ),
        (
            (
                (0.78, 0.25),
                (0.5, 0.0),
                (0.15, 0.2),
                (0.3, 0.5),
                (0.7, 0.4),
                (0.8, 0.1),
                (0.78, 0.6),
                (0.55, 0.95),
                (0.2, 0.95),
            ),
        ),
        (
            ((0.5, 0.0), (0.2, 0.12), (0.2, 0.38), (0.5, 0.48), (0.78, 0.35), (0.78, 0.1), (0.5, 0.0)),
            ((0.8, 0.1), (0.8, 1.0)),
        ),
    ),
}
"""Variants by digit; each variant is one or more strokes."""

_STEPS = 12
_WOBBLE = 0.035
"""Standard deviation of a control point's displacement, as a fraction of the digit's height."""


def digit(value: int, rng: np.random.Generator) -> list[Path]:
    """Return the strokes of a randomly varied digit.

    Args:
        value: digit, 0 to 9.
        rng: random generator.

    Returns:
        points of each stroke, approximately in the unit square.
    """
    variants = VARIANTS[value]
    strokes = variants[int(rng.integers(len(variants)))]
    moved: dict[tuple[float, float], Path] = {}
    # A point shared by two strokes is displaced once, so that they still meet.
    for point in (point for stroke in strokes for point in stroke):
        moved.setdefault(point, np.asarray(point) + rng.normal(0, _WOBBLE, 2))
    return [_through(np.stack([moved[point] for point in stroke])) for stroke in strokes]


def scribble(rng: np.random.Generator) -> list[Path]:
    """Return the strokes of a scribble, not a digit: a wavy line, cross, tick, zigzag or tangle."""
    kind = int(rng.integers(5))
    if kind == 0:
        x = np.linspace(0, 1, 7)
        return [_through(np.column_stack([x, 0.5 + rng.normal(0, 0.12, 7)]))]
    if kind == 1:
        return [_through(rng.uniform(0, 1, (2, 2))), _through(rng.uniform(0, 1, (2, 2)))]
    if kind == 2:
        corner = np.array([[0.0, 0.5], [0.35, 0.9], [1.0, 0.1]]) + rng.normal(0, 0.06, (3, 2))
        return [_through(corner[:2]), _through(corner[1:])]
    if kind == 3:
        x = np.linspace(0, 1, 8)
        y = np.where(np.arange(8) % 2, 0.1, 0.9) + rng.normal(0, 0.08, 8)
        return [np.column_stack([x, y])]
    return [_through(rng.uniform(0, 1, (int(rng.integers(6, 12)), 2)))]


def _through(points: Path) -> Path:
    """Return a smooth curve through the points (Catmull and Rom, 1974), with doubled end points."""
    before, after = points[:1], points[-1:]
    padded = np.concatenate([before, points, after])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, np.newaxis] for i in range(4))
    t = np.linspace(0, 1, _STEPS, endpoint=False)[np.newaxis, :, np.newaxis]
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.concatenate([curve.reshape(-1, 2), after])
