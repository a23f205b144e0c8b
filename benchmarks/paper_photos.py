"""Draw photographs of digits on paper for `models.py`, as JPEG files of full size.

They are never used in training. Training has the seeds [0, epoch]; these have the seeds [SEED, number].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation import backgrounds, handwriting, paper
from edge_fm.augmentation.transforms import Variation
from edge_fm_runtime.image.opencv import as_uint8, cv2

SEED = 20_261_121
_SHAPES = ((480, 640), (640, 480), (480, 480))
_STILL = Variation(flip=False)


@dataclass(frozen=True)
class PaperPhoto:
    """A photograph with the measures of its paper and ink.

    Attributes:
        data: content of a JPEG file.
        digit: digit on the paper; None for no digit.
        pen: width of the strokes as a fraction of the digit's height.
        contrast: difference between paper and ink in grey levels.
        uneven: standard deviation of the paper's brightness as a fraction of its mean.
    """

    data: bytes
    digit: int | None
    pen: float = 0.0
    contrast: float = 0.0
    uneven: float = 0.0


def draw_digits(count: int) -> list[PaperPhoto]:
    """Return photographs of digits drawn from our own strokes."""
    return [_draw_digit(number) for number in range(count)]


def ink_digits(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[PaperPhoto]:
    """Return photographs of (N, 28, 28, 1) uint8 digits, bright on dark, as ink on paper."""
    return [
        _ink_digit(number, image[..., 0], int(label))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def draw_blanks(count: int) -> list[PaperPhoto]:
    """Return photographs without a digit: bare sheets, scribbles and other backgrounds in equal parts."""
    found = []
    for number in range(count):
        rng = np.random.default_rng([SEED, 2, number])
        shape = _SHAPES[number % len(_SHAPES)]
        cover = np.zeros(shape, np.float32)
        if number % 3 == 0:
            picture = cv2.resize(
                backgrounds.empty_scene(160, rng), shape[::-1], interpolation=cv2.INTER_CUBIC
            )
        else:
            if number % 3 == 1:
                _place_ink(
                    paper.draw_strokes(handwriting.scribble(rng), min(shape), Variation(rotation=90), rng),
                    cover,
                )
            picture = paper.draw_sheet(cover, rng)
        found.append(PaperPhoto(_jpeg(as_uint8(picture), rng), None))
    return found


def _draw_digit(number: int) -> PaperPhoto:
    rng = np.random.default_rng([SEED, 0, number])
    value, shape = number % 10, _SHAPES[int(rng.integers(len(_SHAPES)))]
    return _photo(
        value, paper.draw_strokes(handwriting.digit(value, rng), min(shape), _STILL, rng), shape, rng
    )


def _ink_digit(number: int, image: NDArray[np.uint8], label: int) -> PaperPhoto:
    rng = np.random.default_rng([SEED, 1, number])
    shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    side = min(shape)
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    cover = np.clip((cv2.GaussianBlur(large, (0, 0), side / 84) - rng.uniform(0.3, 0.6)) * 8 + 0.5, 0, 1)
    return _photo(label, cover.astype(np.float32), shape, rng)


def _photo(value: int, ink: paper.Cover, shape: tuple[int, int], rng: np.random.Generator) -> PaperPhoto:
    cover = np.zeros(shape, np.float32)
    _place_ink(ink, cover)
    picture = paper.draw_sheet(cover, rng)
    solid = (cover > 0.5).astype(np.uint8)
    rows = np.flatnonzero(solid.any(axis=1))
    width = 2 * float(cv2.distanceTransform(solid, cv2.DIST_L2, 5).max())
    bare = picture[cover == 0].astype(np.float64)
    return PaperPhoto(
        _jpeg(picture, rng),
        value,
        width / max(1, rows[-1] - rows[0]),
        float(np.median(bare) - np.median(picture[cover > 0.9])),
        float(bare.std() / bare.mean()),
    )


def _place_ink(ink: paper.Cover, cover: paper.Cover) -> None:
    """Copy a square of ink into the centre."""
    top, left = (cover.shape[0] - ink.shape[0]) // 2, (cover.shape[1] - ink.shape[1]) // 2
    cover[top : top + ink.shape[0], left : left + ink.shape[1]] = ink


def _jpeg(picture: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Return an image with blur and noise as a JPEG file."""
    seen = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4)).astype(np.float64)
    noisy = np.clip(seen + rng.normal(0, rng.uniform(1, 14), seen.shape), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return cv2.imencode(".jpg", noisy, quality)[1].tobytes()
