"""Simulate photographs of digits on paper.

Pens have any width, sheets are plain, ruled or squared, and light is uneven, with shadows.

`ink_digit` transfers a data set's digit, bright on dark, to paper; `draw_digit` draws one from our own
strokes; `blank_sheet` contains no digit. `draw_sheet` and `photograph_sheet` work at any size and also make
test images.

All images are grey uint8. All randomness comes from the generator that is passed in.
"""

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation import backgrounds, handwriting, transforms
from edge_fm.augmentation.transforms import Grey, Variation
from edge_fm_runtime.image.opencv import as_uint8, cv2

Cover = NDArray[np.float32]
"""(height, width) float32 ink coverage in [0, 1]."""

_SUPERSAMPLING = 3
_SHIFT = 4
"""Fractional bits of OpenCV's drawing coordinates: sixteenths of a pixel."""


def ink_digit(image: Grey, variation: Variation, rng: np.random.Generator) -> Grey:
    """Return a data set's digit as a photograph of ink on paper.

    Args:
        image: (size, size) uint8, strokes bright on a dark background.
        variation: limit of the rotation.
        rng: random generator.

    Returns:
        (size, size) uint8.
    """
    size = image.shape[0]
    fine = size * _SUPERSAMPLING
    zoom = _SUPERSAMPLING * np.exp(rng.uniform(-0.45, 0.2))
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, variation.rotation / 2), zoom)
    matrix[0, 1] += zoom * rng.normal(0, 0.15)
    matrix[:, 2] += fine / 2 - size / 2 + rng.uniform(-0.1, 0.1, 2) * fine
    large = cv2.warpAffine(image, matrix, (fine, fine), flags=cv2.INTER_CUBIC).astype(np.float32) / 255
    # The threshold of the blurred edge sets the width of the pen.
    edge = rng.uniform(0.25, 0.7)
    cover = np.clip((cv2.GaussianBlur(large, (0, 0), 1.0) - edge) * 5 + 0.5, 0, 1)
    return photograph_sheet(cover, size, rng)


def draw_digit(value: int, size: int, variation: Variation, rng: np.random.Generator) -> Grey:
    """Return a digit drawn from our own strokes as a photograph of ink on paper.

    Args:
        value: digit, 0 to 9.
        size: height and width of the result in pixels.
        variation: limit of the rotation.
        rng: random generator.

    Returns:
        (size, size) uint8.
    """
    fine = size * _SUPERSAMPLING
    return photograph_sheet(draw_strokes(handwriting.digit(value, rng), fine, variation, rng), size, rng)


def blank_sheet(size: int, rng: np.random.Generator) -> Grey:
    """Return an image without a digit: a bare sheet, a scribble, or another background."""
    kind = rng.random()
    if kind < 0.3:
        return backgrounds.empty_scene(size, rng)
    fine = size * _SUPERSAMPLING
    cover = np.zeros((fine, fine), np.float32)
    if kind < 0.7:
        cover = draw_strokes(handwriting.scribble(rng), fine, Variation(rotation=90), rng)
    return photograph_sheet(cover, size, rng)


def draw_strokes(
    paths: list[handwriting.Path], size: int, variation: Variation, rng: np.random.Generator
) -> Cover:
    """Return strokes as ink, with random rotation, slant, scale, position and pen width.

    Args:
        paths: strokes as `handwriting.digit` returns them.
        size: height and width of the result in pixels.
        variation: limit of the rotation.
        rng: random generator.
    """
    height = size * rng.uniform(0.4, 0.85)
    width = height * rng.uniform(0.45, 0.85)
    angle = np.radians(rng.normal(0, variation.rotation / 2))
    slant = np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ slant @ np.diag([width, height])
    room = max(0.0, (size - height) / 2)
    centre = size / 2 + rng.uniform(-0.8, 0.8, 2) * room * 0.8
    pen = max(1, round(height * np.exp(rng.uniform(np.log(0.03), np.log(0.16)))))
    canvas = np.zeros((size, size), np.uint8)
    for path in paths:
        points = (path - 0.5) @ linear.T + centre
        fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(canvas, [fixed], False, 255, pen, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) / np.float32(255)


def photograph_sheet(cover: Cover, size: int, rng: np.random.Generator) -> Grey:
    """Return a photograph of ink on a sheet, jittered, reduced and letterboxed as in the runtime.

    Args:
        cover: ink coverage, at least `size` on each side.
        size: height and width of the result in pixels.
        rng: random generator.

    Returns:
        (size, size) uint8.
    """
    fine = draw_sheet(cover, rng)
    inner_h = inner_w = size
    if rng.random() < 0.5:
        # Photographs are seldom square: crop to a narrower aspect ratio.
        narrow = int(rng.integers(round(size * 0.6), size + 1))
        inner_h, inner_w = (size, narrow) if rng.random() < 0.5 else (narrow, size)
        cut = np.array(fine.shape) - np.round(np.array(fine.shape) * (inner_h / size, inner_w / size)).astype(
            int
        )
        if not cover[: cut[0] // 2].any() and not cover[:, : cut[1] // 2].any():
            fine = fine[
                cut[0] // 2 : fine.shape[0] - (cut[0] - cut[0] // 2),
                cut[1] // 2 : fine.shape[1] - (cut[1] - cut[1] // 2),
            ]
    view = transforms.photometric_jitter(
        as_uint8(cv2.resize(fine, (inner_w, inner_h), interpolation=cv2.INTER_AREA)), rng
    )
    canvas = np.zeros((size, size), np.uint8)
    top, left = (size - inner_h) // 2, (size - inner_w) // 2
    canvas[top : top + inner_h, left : left + inner_w] = view
    return canvas


def draw_sheet(cover: Cover, rng: np.random.Generator) -> Grey:
    """Return ink on a drawn sheet of paper in uneven light.

    Args:
        cover: ink coverage.
        rng: random generator.

    Returns:
        (height, width) uint8, the size of `cover`.
    """
    height, width = cover.shape
    paper = np.full((height, width), rng.uniform(150, 250), np.float32)
    ink = rng.uniform(0.05, 0.55)
    kind, pitch = int(rng.integers(4)), rng.uniform(0.12, 0.5) * height
    line = rng.uniform(0.6, 0.92)
    thick = max(1, round(height * 0.012))
    for at in np.arange(rng.uniform(0, pitch), max(height, width), pitch):
        if kind in {1, 2}:
            paper[int(at) : int(at) + thick] *= line
        if kind == 2:
            paper[:, int(at) : int(at) + thick] *= line
    ground = paper * (1 - cover * (1 - ink))
    return np.clip(ground * _light(height, width, rng), 0, 255).astype(np.uint8)


def _light(height: int, width: int, rng: np.random.Generator) -> Cover:
    """Return the illumination of each pixel: smooth variation, sometimes with the edge of a shadow."""
    coarse = np.exp(rng.normal(0, rng.uniform(0, 0.25), (3, 3))).astype(np.float32)
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:
        angle, where = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        across = (
            np.cos(angle) * np.linspace(-1, 1, width)[None, :]
            + np.sin(angle) * np.linspace(-1, 1, height)[:, None]
        )
        softness = rng.uniform(0.03, 0.3)
        light = light * (1 - rng.uniform(0.2, 0.6) / (1 + np.exp(-(across - where) / softness)))
    return np.asarray(light, np.float32)
