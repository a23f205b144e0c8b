"""Augment training images so that they resemble photographs.

A model trained on clean product images fails on photographs, because it has never seen clutter, uneven light,
tilt or noise. `photograph_view` returns a randomly transformed, letterboxed view of a photograph.
`product_view` varies an image of a data set such as Fashion-MNIST and keeps its dark background.
`photometric_jitter` changes light and sharpness only.

All images are uint8, grey (height, width) or RGB (height, width, 3). All randomness comes from the generator
that is passed in. Distances are for images of 28x28 pixels and scale with the size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import as_uint8, cv2

Grey = NDArray[np.uint8]
"""(height, width) uint8 in [0, 255]."""

Picture = NDArray[np.uint8]
"""(height, width) or (height, width, 3) uint8 in [0, 255], RGB."""

_COLOUR_GAIN = 0.06
"""Standard deviation of the logarithm of each channel's gain, as of another white balance."""

_SATURATION = 0.2
"""Standard deviation of the logarithm of the saturation."""

_SUPERSAMPLING = 3

_USUAL_SIZE = 28


@dataclass(frozen=True)
class Variation:
    """Limits of the geometric transforms.

    Attributes:
        camera: whether data set images are varied at all.
        flip: whether images may be flipped horizontally; right for garments, wrong for digits.
        rotation: twice the standard deviation of a photograph's rotation, in degrees.
        tilt: largest rotation of a product image, in degrees.
        erase: fraction of the product images with a random rectangle erased, in [0, 1]; half of it for
            photographs (Zhong et al., 2017, arXiv:1708.04896).
        elastic: standard deviation of the elastic distortion of product images, in pixels of a 28x28 image
            (Simard et al., 2003, "Best Practices for Convolutional Neural Networks").
    """

    camera: bool = True
    flip: bool = True
    rotation: float = 20.0
    tilt: float = 5.0
    erase: float = 0.25
    elastic: float = 0.0


def photograph_view(content: Picture, size: int, variation: Variation, rng: np.random.Generator) -> Picture:
    """Return a randomly transformed view of a photograph, letterboxed in black as the runtime does.

    The strength of rotation, zoom, shift and stretch is itself random, from none to the limit. A network that
    trains on strongly transformed views only does worse on the nearly untransformed images of a device.

    Args:
        content: photograph without bars, at least three times `size` on its longer side.
        size: height and width of the result in pixels.
        variation: limits of the transforms.
        rng: random generator.

    Returns:
        a picture of (size, size) with the channels of the content.
    """
    height, width = content.shape[:2]
    strength = rng.random()
    stretch = np.exp(rng.normal(0, 0.12 * strength))
    shape = min(max(height / width * stretch, 0.4), 2.5)
    inner_h, inner_w = (
        (size, max(1, round(size / shape))) if shape >= 1 else (max(1, round(size * shape)), size)
    )
    fine_h, fine_w = inner_h * _SUPERSAMPLING, inner_w * _SUPERSAMPLING
    zoom = np.exp(strength * rng.uniform(-0.25, 0.35))
    angle = rng.normal(0, variation.rotation / 2 * strength)
    scale_x, scale_y = zoom * fine_w / width, zoom * fine_h / height
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([scale_x, scale_y])
    if variation.flip and rng.random() < 0.5:
        linear[:, 0] *= -1
    offset = strength * rng.uniform(-0.12, 0.12, 2) * (fine_w, fine_h)
    centre = np.array([fine_w, fine_h]) / 2 + offset - linear @ (width / 2, height / 2)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_REFLECT_101
    matrix = np.column_stack([linear, centre])
    fine = cv2.warpAffine(content, matrix, (fine_w, fine_h), flags=cv2.INTER_LINEAR, borderMode=border)
    view = photometric_jitter(
        as_uint8(cv2.resize(fine, (inner_w, inner_h), interpolation=cv2.INTER_AREA)), rng
    )
    if rng.random() < variation.erase / 2:
        _erase(view, rng)
    canvas = np.zeros((size, size, *content.shape[2:]), np.uint8)
    top, left = (size - inner_h) // 2, (size - inner_w) // 2
    canvas[top : top + inner_h, left : left + inner_w] = view
    return canvas


def camera_view(image: Picture, variation: Variation, rng: np.random.Generator) -> Picture:
    """Return a `product_view` of a square picture, half of them in other light."""
    view = product_view(image, variation, rng)
    return photometric_jitter(view, rng) if variation.camera and rng.random() < 0.5 else view


def product_view(image: Picture, variation: Variation, rng: np.random.Generator) -> Picture:
    """Return a product image after a random shift, scale and rotation, flip, distortion and erasing.

    Args:
        image: square, on a dark background.
        variation: limits of the transforms.
        rng: random generator.

    Returns:
        a picture of the same shape.
    """
    if not variation.camera:
        return image
    size, unit = image.shape[0], image.shape[0] / _USUAL_SIZE
    moved = image
    if rng.random() < 0.5:
        angle, zoom = rng.uniform(-variation.tilt, variation.tilt), np.exp(rng.uniform(-0.1, 0.1))
        matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
        matrix = matrix + np.pad(rng.uniform(-2, 2, (2, 1)) * unit, ((0, 0), (2, 0)))
        moved = as_uint8(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR))
    else:
        down, right = (round(step * unit) for step in rng.integers(-2, 3, 2).tolist())
        moved = np.zeros_like(image)
        moved[max(0, down) : size + min(0, down), max(0, right) : size + min(0, right)] = image[
            max(0, -down) : size + min(0, -down), max(0, -right) : size + min(0, -right)
        ]
    if variation.elastic:
        moved = _elastic(moved, variation.elastic * unit, rng)
    if variation.flip and rng.random() < 0.5:
        moved = moved[:, ::-1].copy()
    if rng.random() < variation.erase:
        _erase(moved, rng)
    return np.asarray(moved, np.uint8)


def photometric_jitter(image: Picture, rng: np.random.Generator) -> Picture:
    """Return an image with random gamma, contrast, brightness gradient, inversion, blur and noise.

    Colours are never inverted: their white balance and saturation vary a little instead.
    """
    size_h, size_w = image.shape[:2]
    is_colour = image.ndim == 3  # height, width, channels
    jittered = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        jittered = jittered ** np.exp(rng.normal(0, 0.35))
    jittered = (jittered - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.1)
    if rng.random() < 0.3:
        angle = rng.uniform(0, 2 * np.pi)
        across = np.cos(angle) * np.linspace(-1, 1, size_w, dtype=np.float32)[None, :]
        light = 1 + rng.uniform(0, 0.5) * (across + np.sin(angle) * np.linspace(-1, 1, size_h)[:, None])
        jittered = jittered * (light[..., None] if is_colour else light)
    if is_colour:
        jittered = _colour_jitter(jittered, rng)
    elif rng.random() < 0.1:
        jittered = 1 - jittered
    if rng.random() < 0.2:
        blur = rng.uniform(0.3, 0.9) * max(size_h, size_w) / _USUAL_SIZE
        jittered = cv2.GaussianBlur(jittered.astype(np.float32), (0, 0), blur)
    if rng.random() < 0.4:
        jittered = jittered + rng.normal(0, rng.uniform(0.01, 0.06), jittered.shape)
    return as_uint8(np.rint(np.clip(jittered, 0, 1) * 255).astype(np.uint8))


def _colour_jitter(image: Any, rng: np.random.Generator) -> Any:  # noqa: ANN401  # floats of any kind
    """Return an RGB image in [0, 1] with another white balance and saturation, both near its own."""
    balanced = image * np.exp(rng.normal(0, _COLOUR_GAIN, 3))
    grey = balanced.mean(axis=2, keepdims=True)
    return grey + (balanced - grey) * np.exp(rng.normal(0, _SATURATION))


def _elastic(image: Picture, deviation: float, rng: np.random.Generator) -> Picture:
    """Return an image warped by a random displacement field of 4x4 control points."""
    size = image.shape[0]
    field = rng.normal(0, deviation, (4, 4, 2)).astype(np.float32)
    moves = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC)
    grid = np.indices((size, size), np.float32)
    return as_uint8(cv2.remap(image, grid[1] + moves[..., 0], grid[0] + moves[..., 1], cv2.INTER_LINEAR))


def _erase(image: Picture, rng: np.random.Generator) -> None:
    """Fill a random rectangle, 2 to 33 % of the area, with noise or one shade (arXiv:1708.04896)."""
    height, width, *channels = image.shape
    area, aspect = rng.uniform(0.02, 0.33) * height * width, np.exp(rng.uniform(-1.2, 1.2))
    tall, wide = (
        min(height, max(1, round((area * aspect) ** 0.5))),
        min(width, max(1, round((area / aspect) ** 0.5))),
    )
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    image[top : top + tall, left : left + wide] = (
        rng.integers(0, 256, (tall, wide, *channels))
        if rng.random() < 0.5
        else rng.integers(0, 256, channels or None)
    )
