"""Fit the margin below which a reduced-size decode is repeated at full size.

What reduced decoding leaves out moves the logits of one model more than another's, and less the more pixels
are left; and where hardly anything is left out, int8 still rounds otherwise as soon as one pixel does. How
much of both is measured when the file is made, on drawn pictures: noise whose amplitudes fall as 1/f, as
those of photographs do (Field, 1987, "Relations between the statistics of natural images and the response
properties of cortical cells"), so that nobody's photographs are needed. Each is decoded small, whole, and
whole with a few pixels one level off (docs/decisions/0005).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Preprocess
from edge_fm_runtime.artifact.passport import MAX_MARGIN, Decision
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.opencv import cv2

_REDUCTION_FACTOR, _ROUNDING_FACTOR = 2.0, 1.5
"""Factors on the RMS change by reduced decoding and by rounding. Chosen on the training photographs of
`fashion`: from 1.9 and 1.5 on, 99.8 % of the labels are those of full-scale decoding, for each of five models
and for 2.4, 4.8, 9.5 and 18 pixels per input pixel."""

_OFF = 0.02
"""Fraction of pixels that is one level off, as in 12 megapixels decoded at 1/8 for 28x28."""

_RATIO = 4.8
"""Pixels per input pixel; decoded at 1/2, that is as many as a photograph of 400x533 at 1/8 for 28x28."""

_PROPORTIONS = 0.75
"""Width to height of most photographs."""

_MOST, _LEAST = 512, 16
_DRAWN = 2**25
"""Pixels of all pictures together, about: a few seconds' work, whatever the size of the input."""

_QUALITY = 90

Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class RedecodeMargins(NamedTuple):
    """Margins of a `Decision`, in logits."""

    reduced_decode_margin: float
    rounding_margin: float


class _Looks(NamedTuple):
    """Drawn images decoded at reduced size, in full, and in full with a few pixels off."""

    small: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    off: NDArray[np.uint8]
    pixels_left: float


def fit(probabilities: Probabilities, spec: InputSpec, recipe: Preprocess) -> RedecodeMargins:
    """Return what suits a model; what is usual, if its answers are never shared between labels.

    Args:
        probabilities: from (N, height, width, channels) uint8 to (N, classes) float32, the model's own.
        spec: its input.
        recipe: its preprocessing.
    """
    looks = _looks(spec, recipe)
    whole = probabilities(looks.whole)
    by_size = _change(whole, probabilities(looks.small))
    by_rounding = _change(whole, probabilities(looks.off))
    if by_size is None or by_rounding is None:
        return RedecodeMargins(Decision().reduced_decode_margin, Decision().rounding_margin)
    bounds = _REDUCTION_FACTOR * looks.pixels_left * by_size, _ROUNDING_FACTOR * by_rounding
    return RedecodeMargins(*(round(min(bound, MAX_MARGIN), 3) for bound in bounds))


def _change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float | None:
    """Return the RMS change of the gap between the logits of the two likeliest labels.

    Where votes leave a label nothing at all there is no logit that could have moved; None if that is so in
    every row.
    """
    rows, (second, likeliest) = np.arange(len(before)), np.argsort(before, axis=1)[:, -2:].T
    shares = [seen[rows, label] for seen in (before, after) for label in (likeliest, second)]
    informative = np.all([share > 0 for share in shares], axis=0)
    if not informative.any():
        return None
    first, then = (
        np.log(high[informative]) - np.log(low[informative]) for high, low in (shares[:2], shares[2:])
    )
    return float(np.sqrt(np.mean((first - then) ** 2)))


@lru_cache(maxsize=1)
def _looks(spec: InputSpec, recipe: Preprocess) -> _Looks:
    ratio = _RATIO if recipe.fit is Fit.LETTERBOX else _RATIO / _PROPORTIONS
    height, width = _quick(ratio * spec.height), _quick(ratio * _PROPORTIONS * spec.width)
    count = min(_MOST, max(_LEAST, _DRAWN // (height * width * spec.channels)))
    encoded = [
        _drawn(height, width, spec.channels, np.random.default_rng([1987, number])) for number in range(count)
    ]
    small, whole = (
        np.stack(
            [preprocess.tensor_from_bytes(data, spec, recipe, full_scale=full_scale) for data in encoded]
        )
        for full_scale in (False, True)
    )
    rng = np.random.default_rng(1987)
    steps = rng.choice([-1, 1], whole.shape) * (rng.random(whole.shape) < _OFF)
    off = np.clip(whole.astype(int) + steps, 0, 255).astype(np.uint8)
    return _Looks(small, whole, off, preprocess.pixels_per_input_pixel(encoded[0], spec, recipe))


def _quick(length: float) -> int:
    """Return the next length without prime factors over five, whose Fourier transform is quick."""
    number = round(length)
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 1


def _drawn(height: int, width: int, channels: int, rng: np.random.Generator) -> bytes:
    """Return a JPEG of 1/f noise with random contrast and brightness, mostly grey.

    What the channels differ by is drawn at half the size, as JPEG keeps it.
    """
    picture = _noise(height, width, rng)[..., None]
    if channels > 1:
        tints = np.stack([_noise(height // 2, width // 2, rng) for _ in range(channels)], axis=-1)
        tints = np.asarray(cv2.resize(tints, (width, height)), np.float32)
        picture = picture + tints / np.float32(2)
    levels = np.clip(picture * rng.uniform(30, 70) + rng.uniform(70, 180), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (height, width) float32 noise of amplitudes 1/f, with mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]).astype(np.float32)
    frequency[0, 0] = np.inf  # no mean: the light is drawn elsewhere
    numbers = rng.standard_normal((*frequency.shape, 2), np.float32)
    plane = np.fft.irfft2(numbers.view(np.complex64)[..., 0] / frequency, (height, width))
    return np.asarray(plane / plane.std(), np.float32)
