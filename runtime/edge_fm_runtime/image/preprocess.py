"""From encoded bytes or a camera frame to the model's input tensor: the one road, in training and on the device.

    bytes -> guard -> decode (upright, over the fill, grey or RGB) -> fit -> polarity -> tensor

Training data made of photographs, golden inputs, labelled folders and live frames all pass here, so the
device cannot disagree with training. A change that could move one grey level raises `RECIPE_VERSION`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity, Preprocess
from edge_fm_runtime.image import exif, guard, resample
from edge_fm_runtime.image.decoding import Image, decode
from edge_fm_runtime.image.guard import Header, ImageFormat, Limits
from edge_fm_runtime.image.opencv import as_uint8, cv2

LEAST_PIXELS_LEFT = 2
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when that still leaves this many pixels on each axis for each
pixel of the input. What it moves is measured by `benchmarks/label.py agreement`."""

_PICTURE_PIXELS_LEFT = 4
"""The same for pictures that are varied before they are fitted."""

_FRAME_PIXELS_LEFT = 8
"""The same for camera frames, which are halved. On 512 photographs this differs from one area resize by 0.1 to 0.2 grey levels on average
and up to 4 at hard edges; at 4 it would be up to 14."""


def tensor_from_bytes(
    data: bytes,
    spec: InputSpec,
    recipe: Preprocess,
    limits: Limits = guard.DEFAULT_LIMITS,
    *,
    full_scale: bool = False,
) -> Image:
    """Return the input tensor of an encoded picture.

    Args:
        data: a JPEG, PNG, WebP or BMP file's bytes.
        spec: the model's input.
        recipe: the model's preprocessing.
        limits: how large the picture may be.
        full_scale: decode every pixel of a JPEG, to measure what reduced decoding changes.

    Returns:
        (height, width, channels) uint8 in [0, 255].

    Raises:
        InputError: the bytes are no picture that can be decoded within the limits.
        MemoryError: there is not enough for it.
    """
    header = guard.check(data, limits)
    place = _placement(header.upright_size, spec, recipe.fit)
    if header.format is not ImageFormat.JPEG or place.ratio < 1:
        return tensor_from_image(decode(data, header, spec.channels, recipe.fill, 1), spec, recipe)
    reduction = 1 if full_scale else _reduction(header, place, LEAST_PIXELS_LEFT)
    means = decode(data, header, spec.channels, recipe.fill, reduction)
    return _finished(_shrunk(means, header, place, reduction), place, spec, recipe)


def pixels_left(
    data: bytes, spec: InputSpec, recipe: Preprocess, limits: Limits = guard.DEFAULT_LIMITS
) -> float:
    """Return how many pixels of the decoded picture there are for each pixel of the input, along one axis.

    Args:
        data: an encoded picture that `tensor_from_bytes` takes.
        spec: the model's input.
        recipe: the model's preprocessing.
        limits: those that `tensor_from_bytes` was given.

    Returns:
        2 or more where the picture is decoded at a reduced scale, infinity where every pixel is decoded.
    """
    header = guard.check(data, limits)
    place = _placement(header.upright_size, spec, recipe.fit)
    reduction = _reduction(header, place, LEAST_PIXELS_LEFT)
    return place.ratio / reduction if reduction > 1 else math.inf


def picture_from_bytes(data: bytes, spec: InputSpec, recipe: Preprocess) -> Image:
    """Return a picture upright and in its own proportions, before it is fitted: for those who vary it first.

    Args:
        data: as for `tensor_from_bytes`.
        spec: the model's input; a JPEG may be decoded at a reduced scale that still serves it.
        recipe: the model's preprocessing.

    Returns:
        (height, width) uint8 grey for one channel, (height, width, 3) RGB for three.

    Raises:
        InputError: the bytes are no picture that can be decoded within the limits.
        MemoryError: there is not enough for it.
    """
    header = guard.check(data)
    place = _placement(header.upright_size, spec, recipe.fit)
    return decode(data, header, spec.channels, recipe.fill, _reduction(header, place, _PICTURE_PIXELS_LEFT))


def frame_from_bytes(data: bytes, limits: Limits = guard.DEFAULT_LIMITS) -> Image:
    """Return an encoded picture as a camera would give it, for streams of pictures.

    Args:
        data: a JPEG, PNG, WebP or BMP file's bytes.
        limits: how large the picture may be.

    Returns:
        (height, width, 3) uint8 in OpenCV's blue, green, red order, upright.

    Raises:
        InputError: the bytes are no picture that can be decoded within the limits.
        MemoryError: there is not enough for it.
    """
    rgb = decode(data, guard.check(data, limits), 3, 0, 1)
    return as_uint8(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def tensor_from_frame(
    frame_bgr: Image, spec: InputSpec, recipe: Preprocess, greys: NDArray[np.uint8] | None = None
) -> Image:
    """Return the input tensor of a camera frame.

    A large frame is halved, averaging two by two, while eight pixels and more are left for each one of the input, and down
    to what it becomes where it is a multiple of that, which differs by half a level on average and two at most. Over twice as fast as one
    area resize; see `_FRAME_PIXELS_LEFT` for what it moves.

    Args:
        frame_bgr: (height, width, 3) uint8 in OpenCV's blue, green, red order; or (height, width) grey for one channel.
        spec: the model's input.
        recipe: the model's preprocessing.
        greys: (256,) uint8, what the levels of a grey frame stand for, if they are no greys.

    Returns:
        (height, width, channels) uint8 in [0, 255].
    """
    code = cv2.COLOR_BGR2GRAY if spec.channels == 1 else cv2.COLOR_BGR2RGB
    is_grey = frame_bgr.ndim == 2 and spec.channels == 1  # noqa: PLR2004
    image = frame_bgr if is_grey else as_uint8(cv2.cvtColor(frame_bgr, code))
    size = _placement((image.shape[0], image.shape[1]), spec, recipe.fit).size
    while _can_be_halved(image, size, spec):
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = as_uint8(cv2.resize(image, half, interpolation=cv2.INTER_AREA))
    if greys is not None:
        image = as_uint8(cv2.LUT(image, greys))
    return tensor_from_image(image, spec, recipe)


def _can_be_halved(image: Image, size: tuple[int, int], spec: InputSpec) -> bool:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return False
    is_multiple = height % (2 * size[0]) == 0 and width % (2 * size[1]) == 0
    return bool(is_multiple or min(height / spec.height, width / spec.width) >= 2 * _FRAME_PIXELS_LEFT)


def tensor_from_image(image: Image, spec: InputSpec, recipe: Preprocess) -> Image:
    """Return the input tensor of a decoded picture.

    Args:
        image: (height, width) grey for one channel, (height, width, 3) RGB for three.
        spec: the model's input.
        recipe: the model's preprocessing.

    Returns:
        (height, width, channels) uint8 in [0, 255].
    """
    place = _placement((image.shape[0], image.shape[1]), spec, recipe.fit)
    top, left, height, width = place.region
    part = image[top : top + height, left : left + width]
    if part.shape[:2] == place.size:
        return _finished(part, place, spec, recipe)
    if place.ratio >= 1:
        rows, columns = resample.Line(image.shape[0], 1), resample.Line(image.shape[1], 1)
        return _finished(resample.shrink(image, rows, columns, place.region, place.size), place, spec, recipe)
    enlarged = as_uint8(cv2.resize(part, place.size[::-1], interpolation=cv2.INTER_LINEAR))
    return _finished(enlarged, place, spec, recipe)


@dataclass(frozen=True)
class _Placement:
    """What of a picture is taken, and where it comes to lie in the input.

    Attributes:
        region: top, left, height and width in the picture.
        size: height and width that it gets in the input.
    """

    region: tuple[int, int, int, int]
    size: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Pixels of the picture for each of the input, on the axis that has fewer."""
        return min(self.region[2] / self.size[0], self.region[3] / self.size[1])


def _placement(size: tuple[int, int], spec: InputSpec, fit: Fit) -> _Placement:
    height, width = size
    if fit is Fit.STRETCH or size == (spec.height, spec.width):
        return _Placement((0, 0, height, width), (spec.height, spec.width))
    if fit is Fit.LETTERBOX:
        scale = min(spec.height / height, spec.width / width)
        inner_height = min(spec.height, max(1, round(height * scale)))
        inner_width = min(spec.width, max(1, round(width * scale)))
        return _Placement((0, 0, height, width), (inner_height, inner_width))
    scale = max(spec.height / height, spec.width / width)
    inner_height = min(height, max(1, round(spec.height / scale)))
    inner_width = min(width, max(1, round(spec.width / scale)))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return _Placement((top, left, inner_height, inner_width), (spec.height, spec.width))


def _finished(part: Image, place: _Placement, spec: InputSpec, recipe: Preprocess) -> Image:
    """Lay a part that has its size into the input, and turn light and dark round if the recipe does."""
    height, width = place.size
    if place.size != (spec.height, spec.width):
        canvas = np.full((spec.height, spec.width, *part.shape[2:]), recipe.fill, np.uint8)
        top, left = (spec.height - height) // 2, (spec.width - width) // 2
        canvas[top : top + height, left : left + width] = part
        part = canvas
    if recipe.polarity is Polarity.INVERT:
        part = as_uint8(255 - part)
    return part.reshape(spec.shape)


def _reduction(header: Header, place: _Placement, least: int) -> int:
    """Return by how much a picture is shrunk while it is decoded: 1, 2, 4 or 8; only JPEG gains from it."""
    if header.format is not ImageFormat.JPEG:
        return 1
    return next((reduction for reduction in (8, 4, 2) if reduction <= place.ratio / least), 1)


def _shrunk(means: Image, header: Header, place: _Placement, reduction: int) -> Image:
    (height, width), (tall, wide) = header.upright_size, exif.reversed_axes(header.orientation)
    rows, columns = resample.Line(height, reduction, tall), resample.Line(width, reduction, wide)
    return resample.shrink(means, rows, columns, place.region, place.size)
