"""Draw garments of the ten Fashion-MNIST classes.

They make everything in edge-fm testable without a download. They imitate the data set (one light garment,
upright, filling a dark square) with varied cut, size, shade, texture, background and light. They are
drawings: a score on them shows that the code works, not how good a model is.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import cv2

Points = Sequence[tuple[float, float]]
"""Corners as (x, y) in the unit square, y down."""

_SHIFT = 4
_SUPERSAMPLING = 4
_SUBPIXEL = 1 << _SHIFT


class _Cloth:
    """A mask of the cloth, and a relief of seams and soles that scales its shade."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.mask = np.zeros((size, size), np.uint8)
        self.relief = np.ones((size, size), np.float32)

    def add(self, points: Points) -> None:
        cv2.fillPoly(self.mask, [self._fixed(points)], 255, cv2.LINE_AA, _SHIFT)

    def cut(self, points: Points) -> None:
        cv2.fillPoly(self.mask, [self._fixed(points)], 0, cv2.LINE_AA, _SHIFT)

    def cut_ellipse(self, x: float, y: float, width: float, height: float) -> None:
        self.cut(_ellipse(x, y, width, height))

    def band(self, points: Points, thickness: float) -> None:
        """Add a strip of cloth along a line."""
        width = max(1, round(thickness * self.size))
        cv2.polylines(self.mask, [self._fixed(points)], False, 255, width, cv2.LINE_AA, _SHIFT)

    def seam(self, points: Points, thickness: float, factor: float) -> None:
        """Scale the shade along a line."""
        width = max(1, round(thickness * self.size))
        cv2.polylines(self.relief, [self._fixed(points)], False, factor, width, cv2.LINE_8, _SHIFT)

    def panel(self, points: Points, factor: float) -> None:
        """Scale the shade of an area."""
        cv2.fillPoly(self.relief, [self._fixed(points)], factor, cv2.LINE_8, _SHIFT)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        return np.asarray(np.rint(np.array(points) * self.size * _SUBPIXEL), np.int32)


def draw(label: int, rng: np.random.Generator, size: int = 28) -> NDArray[np.uint8]:
    """Draw one garment.

    Args:
        label: class index, 0 to 9 in the order of Fashion-MNIST.
        rng: random generator of cut, shade, texture, background and light.
        size: height and width in pixels.

    Returns:
        (size, size) uint8 grey image.
    """
    large = size * _SUPERSAMPLING
    cloth = _Cloth(large)
    _GARMENTS[label](cloth, rng)
    y, x = np.mgrid[0:large, 0:large].astype(np.float32) / large
    shade = rng.uniform(*_SHADES[label]) * cloth.relief * _texture(label, rng, x, y) * _light(rng, x, y)
    background = rng.uniform(0, 10) * _light(rng, x, y)
    weight = cloth.mask.astype(np.float32) / 255
    placed = _place(np.asarray(weight * shade, np.float64), weight.astype(np.float64), rng)
    canvas = placed[0] + (1 - placed[1]) * background
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, rng.uniform(0, 3), small.shape)
    return np.asarray(np.clip(np.rint(small + grain * (small > 0.2 * small.max())), 0, 255), np.uint8)


def draw_set(per_class: int, seed: int, size: int = 28) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `per_class` garments of each class, in random order; the same for the same seed.

    Returns:
        images (N, size, size, 1) uint8 and labels (N,) int64.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(_GARMENTS)), per_class))
    images = np.stack([draw(int(label), rng, size) for label in labels])
    return images[..., np.newaxis], labels.astype(np.int64)


def _t_shirt(cloth: _Cloth, rng: np.random.Generator) -> None:
    waist, sleeve, drop = rng.uniform(0.23, 0.27), rng.uniform(0.02, 0.08), rng.uniform(0.3, 0.38)
    cloth.add(
        _mirrored(
            [(0.38, 0.03), (0.22, 0.07), (sleeve, drop), (0.19, drop + 0.06), (0.25, 0.3), (waist, 0.97)]
        )
    )
    cloth.cut_ellipse(0.5, 0.03, rng.uniform(0.22, 0.26), rng.uniform(0.1, 0.18))
    cloth.seam([(0.25, 0.12), (0.26, 0.3)], 0.012, 0.85)
    cloth.seam([(0.75, 0.12), (0.74, 0.3)], 0.012, 0.85)


def _trouser(cloth: _Cloth, rng: np.random.Generator) -> None:
    hip, hem = rng.uniform(0.31, 0.35), rng.uniform(0.3, 0.36)
    crotch, width = rng.uniform(0.24, 0.32), rng.uniform(0.13, 0.16)
    cloth.add([(hip, 0.01), (1 - hip, 0.01), (1 - hem, 0.99), (1 - hem - width, 0.99), (0.5, crotch), (hem + width, 0.99), (hem, 0.99)])  # fmt: skip
    cloth.seam([(hip, 0.05), (1 - hip, 0.05)], 0.015, 0.8)
    cloth.seam([(0.5, 0.05), (0.5, crotch)], 0.012, 0.75)


def _pullover(cloth: _Cloth, rng: np.random.Generator) -> None:
    waist, cuff = rng.uniform(0.24, 0.27), rng.uniform(0.78, 0.94)
    _long_sleeves(cloth, rng, waist, cuff, 0.97)
    cloth.cut_ellipse(0.5, 0.02, rng.uniform(0.18, 0.24), rng.uniform(0.05, 0.1))
    cloth.seam([(waist, 0.92), (1 - waist, 0.92)], 0.015, 0.85)
    cloth.seam([(0.4, 0.06), (0.5, 0.1), (0.6, 0.06)], 0.02, 0.85)


def _dress(cloth: _Cloth, rng: np.random.Generator) -> None:
    strap, waist, hem = rng.uniform(0.36, 0.4), rng.uniform(0.36, 0.4), rng.uniform(0.22, 0.34)
    middle = rng.uniform(0.32, 0.4)
    cloth.add(_mirrored([(strap, 0.01), (strap - 0.03, 0.14), (waist, middle), (hem, 0.99)]))
    cloth.cut_ellipse(0.5, 0.0, rng.uniform(0.12, 0.16), rng.uniform(0.16, 0.28))
    cloth.seam([(waist, middle), (1 - waist, middle)], 0.02, 0.8)


def _coat(cloth: _Cloth, rng: np.random.Generator) -> None:
    waist, cuff = rng.uniform(0.25, 0.28), rng.uniform(0.78, 0.88)
    _long_sleeves(cloth, rng, waist, cuff, 0.98)
    cloth.cut([(0.42, 0.0), (0.5, rng.uniform(0.14, 0.26)), (0.58, 0.0)])
    cloth.seam([(0.5, 0.1), (0.5, 0.98)], 0.03, rng.uniform(0.25, 0.45))
    cloth.seam([(0.4, 0.03), (0.49, 0.3)], 0.03, 0.75)
    cloth.seam([(0.6, 0.03), (0.51, 0.3)], 0.03, 0.75)
    cloth.seam([(waist + 0.03, 0.66), (0.44, 0.68)], 0.015, 0.65)
    cloth.seam([(0.56, 0.68), (0.97 - waist, 0.66)], 0.015, 0.65)


def _sandal(cloth: _Cloth, rng: np.random.Generator) -> None:
    heel = rng.uniform(0.0, 0.2)
    base = 0.72 - heel / 2
    cloth.band([(0.03, 0.72), (0.3, 0.71), (0.62, base), (0.97, base - 0.04)], 0.05)
    if heel > 0.08:  # noqa: PLR2004
        cloth.add([(0.86, base - 0.02), (0.98, base - 0.04), (0.95, 0.75), (0.9, 0.75)])
    cloth.band([(0.12, 0.71), (0.24, 0.58), (0.36, 0.7)], rng.uniform(0.035, 0.06))
    cloth.band([(0.28, 0.7), (0.4, 0.52), (0.5, base)], rng.uniform(0.03, 0.05))
    cloth.band([(0.4, 0.53), (0.62, 0.42), (0.9, 0.36), (0.95, base - 0.04)], rng.uniform(0.03, 0.045))
    cloth.band([(0.64, 0.42), (0.78, base - 0.02)], rng.uniform(0.025, 0.04))


def _shirt(cloth: _Cloth, rng: np.random.Generator) -> None:
    waist = rng.uniform(0.26, 0.29)
    if rng.random() < 0.5:  # noqa: PLR2004
        _long_sleeves(cloth, rng, waist, rng.uniform(0.72, 0.86), 0.97)
    else:
        cloth.add(
            _mirrored([(0.4, 0.03), (0.25, 0.07), (0.12, 0.4), (0.25, 0.44), (0.28, 0.3), (waist, 0.97)])
        )
    cloth.cut([(0.43, 0.0), (0.5, rng.uniform(0.1, 0.16)), (0.57, 0.0)])
    cloth.panel([(0.39, 0.02), (0.49, 0.13), (0.43, 0.17)], 1.25)
    cloth.panel([(0.61, 0.02), (0.51, 0.13), (0.57, 0.17)], 1.25)
    cloth.seam([(0.5, 0.14), (0.5, 0.97)], 0.014, 0.75)
    for y in np.linspace(0.2, 0.9, 6):
        cloth.seam([(0.5, y), (0.5, y + 0.012)], 0.03, 1.3)


def _sneaker(cloth: _Cloth, rng: np.random.Generator) -> None:
    collar, toe = rng.uniform(0.36, 0.42), rng.uniform(0.54, 0.58)
    cloth.add([(0.02, 0.7), (0.02, toe + 0.05), (0.12, toe), (0.32, toe - 0.05), (0.55, collar + 0.04), (0.7, collar), (0.82, collar + 0.06), (0.95, collar), (0.98, 0.55), (0.98, 0.7)])  # fmt: skip
    cloth.panel([(0.0, 0.65), (1.0, 0.65), (1.0, 0.72), (0.0, 0.72)], rng.uniform(1.15, 1.45))
    cloth.seam([(0.0, 0.645), (1.0, 0.645)], 0.012, 0.6)
    for x in np.linspace(0.36, 0.56, 4):
        cloth.seam([(x, toe - 0.06), (x + 0.08, toe + 0.02)], 0.02, rng.uniform(0.55, 0.7))
    cloth.panel([(0.6, 0.62), (0.75, 0.44), (0.84, 0.44), (0.72, 0.62)], rng.uniform(0.6, 0.9))


def _bag(cloth: _Cloth, rng: np.random.Generator) -> None:
    top, side, flare = rng.uniform(0.34, 0.44), rng.uniform(0.03, 0.1), rng.uniform(-0.02, 0.06)
    cloth.add([(side + flare, top), (1 - side - flare, top), (1 - side, 0.9), (side, 0.9)])
    height, reach = rng.uniform(0.06, 0.16), rng.uniform(0.22, 0.3)
    arch = [(0.5 + reach * np.cos(a), top - (top - height) * np.sin(a)) for a in np.linspace(0, np.pi, 15)]
    cloth.band(arch, rng.uniform(0.035, 0.06))
    fold = rng.uniform(0.1, 0.22)
    cloth.seam([(side, top + fold), (0.5, top + fold + 0.06), (1 - side, top + fold)], 0.015, 0.7)
    cloth.panel(_ellipse(0.5, top + fold + 0.06, 0.07, 0.07), 1.3)


def _ankle_boot(cloth: _Cloth, rng: np.random.Generator) -> None:
    shaft, heel = rng.uniform(0.04, 0.14), rng.uniform(0.02, 0.1)
    sole = 0.93 - heel
    cloth.add([(0.03, 0.93), (0.03, 0.78), (0.1, 0.7), (0.3, 0.62), (0.46, 0.48), (0.5, shaft), (0.93, shaft - 0.02), (0.95, 0.5), (0.97, 0.8), (0.96, 0.95), (0.74, 0.95), (0.72, sole), (0.5, sole + 0.02), (0.4, 0.93)])  # fmt: skip
    cloth.seam([(0.03, 0.86), (0.4, 0.87), (0.97, 0.84)], 0.02, 0.65)
    cloth.seam([(0.72, shaft), (0.7, 0.6)], 0.02, rng.uniform(0.6, 0.9))


_GARMENTS: tuple[Callable[[_Cloth, np.random.Generator], None], ...] = (
    _t_shirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _ankle_boot,
)  # fmt: skip

_SHADES = (
    (150, 225), (140, 225), (120, 215), (150, 225), (110, 190), (140, 230), (110, 190), (140, 210), (120, 220), (110, 210),
)  # fmt: skip


def _long_sleeves(cloth: _Cloth, rng: np.random.Generator, waist: float, cuff: float, hem: float) -> None:
    reach = rng.uniform(0.05, 0.1)
    cloth.add(_mirrored([(0.4, 0.03), (0.27, 0.07), (0.17, 0.2), (reach, cuff), (reach + 0.12, cuff + 0.02), (waist - 0.005, 0.42), (waist, hem)]))  # fmt: skip
    for inside in (waist, 1 - waist):
        cloth.seam([(inside, 0.24), (inside, 0.6)], 0.02, 0.55)


def _mirrored(left: Points) -> list[tuple[float, float]]:
    return [*left, *((1 - x, y) for x, y in reversed(left))]


def _ellipse(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return [(x + width / 2 * float(np.cos(a)), y + height / 2 * float(np.sin(a))) for a in angles]


def _texture(
    label: int, rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a factor around 1: plain, stripes, checks or weave."""
    depth = rng.uniform(0.04, 0.12)
    waves = rng.uniform(10, 16) * np.pi
    kind = rng.integers(4) if label != _SHIRT else rng.integers(1, 4)
    if kind == 1:
        pattern = np.sin(waves * y)
    elif kind == 2:  # noqa: PLR2004
        pattern = np.sin(waves * x) * np.sin(waves * y)
    elif kind == 3:  # noqa: PLR2004
        blobs = cv2.GaussianBlur(rng.normal(size=x.shape).astype(np.float32), (0, 0), x.shape[0] / 60)
        pattern = blobs / (np.abs(blobs).max() + 1e-6)
    else:
        pattern = np.zeros_like(x)
    return np.asarray(1 + depth * pattern, np.float32)


_SHIRT = 6


def _light(rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a factor that falls off in one direction."""
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
    slope = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    return np.asarray(1 + depth * 2 * slope, np.float32)


def _place(
    shade: NDArray[np.float64], weight: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotate and shift the garment a little."""
    size = shade.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-3, 3), rng.uniform(0.94, 1.0))
    matrix[:, 2] += rng.uniform(-0.015, 0.015, 2) * size
    moved = [cv2.warpAffine(layer, matrix, (size, size)) for layer in (shade, weight)]
    return np.asarray(moved[0], np.float64), np.asarray(moved[1], np.float64)
