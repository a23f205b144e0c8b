"""How near its two likeliest labels may be to each other before a picture that was decoded small is decoded whole.

What reduced decoding leaves out moves the logits of one model more than another's. How much is measured when the file is made, on
drawn pictures: noise whose amplitudes fall as 1/f, as those of photographs do (Field, 1987, "Relations between the
statistics of natural images and the response properties of cortical cells"), so that nobody's photographs are needed. Each is decoded small and whole,
and the bound is `_SPREAD` times the root of the mean square of what that changes (docs/decisions/0005).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime import preprocess
from edge_fm_runtime.opencv import cv2
from edge_fm_runtime.passport import Decision, Fit, InputSpec, Preprocess

_SPREAD = 2.0
"""Chosen on photographs of the people that `fashion` was trained on: 1.9 and more keeps 99.8 % of the labels of full-scale decoding there, of each of five models."""

_RATIO = 4.8
"""Pixels of a picture for each of the input: halved while it is decoded, it has as many left as a photograph of 400x533 that is decoded at 1/8 for 28x28."""

_PROPORTIONS = 0.75
"""Width to height, as most photographs have."""

_MOST, _LEAST = 512, 64
_PIXELS = 2**23
"""In all pictures together, about."""

_QUALITY = 90

Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class _Looks(NamedTuple):
    """Pictures as they are seen at first and whole, and how many pixels were left of each for each of the input."""

    first: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    pixels_left: float


def fit(probabilities: Probabilities, spec: InputSpec, recipe: Preprocess) -> float:
    """Return `Decision.doubt` for a model, in logits times pixels left; the usual one if its answers are never shared between labels.

    Args:
        probabilities: from (N, height, width, channels) uint8 to (N, classes) float32, the model's own.
        spec: its input.
        recipe: its preprocessing.
    """
    looks = _looks(spec, recipe)
    first, whole = probabilities(looks.first), probabilities(looks.whole)
    rows, (second, likeliest) = np.arange(len(first)), np.argsort(first, axis=1)[:, -2:].T
    # Where votes leave a label nothing at all, there is no logit that could have moved.
    told = (first[rows, second] > 0) & (whole[rows, likeliest] > 0) & (whole[rows, second] > 0)
    if not told.any():
        return Decision().doubt
    apart = [
        np.log(seen[rows, likeliest][told]) - np.log(seen[rows, second][told]) for seen in (first, whole)
    ]
    change = float(np.sqrt(np.mean((apart[0] - apart[1]) ** 2)))
    return round(_SPREAD * looks.pixels_left * change, 3)


@lru_cache(maxsize=1)
def _looks(spec: InputSpec, recipe: Preprocess) -> _Looks:
    ratio = _RATIO if recipe.fit is Fit.LETTERBOX else _RATIO / _PROPORTIONS
    height, width = round(ratio * spec.height), round(ratio * _PROPORTIONS * spec.width)
    count = min(_MOST, max(_LEAST, _PIXELS // (height * width)))
    encoded = [
        _drawn(height, width, spec.channels, np.random.default_rng([1987, number])) for number in range(count)
    ]
    first, whole = (
        np.stack(
            [preprocess.tensor_from_bytes(data, spec, recipe, full_scale=full_scale) for data in encoded]
        )
        for full_scale in (False, True)
    )
    return _Looks(first, whole, preprocess.pixels_left(encoded[0], spec, recipe))


def _drawn(height: int, width: int, channels: int, rng: np.random.Generator) -> bytes:
    """Return a JPEG file of such noise, in greys of another contrast and light each time; of colours, grey is the most."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf  # no mean: the light is drawn below
    planes = []
    for _ in range(1 if channels == 1 else 1 + channels):
        spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) / frequency
        plane = np.fft.irfft2(spectrum, (height, width))
        planes.append(plane / plane.std())
    picture = (
        planes[0] if channels == 1 else np.stack([planes[0] + plane / 2 for plane in planes[1:]], axis=-1)
    )
    levels = np.clip(picture * rng.uniform(30, 70) + rng.uniform(70, 180), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
