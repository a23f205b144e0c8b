"""Turn encoded bytes and camera frames into input tensors; training and devices share this code.

    bytes -> guard -> decode (upright, over the fill, grey or RGB) -> fit -> polarity -> tensor

Photographs for training, golden inputs, labelled folders and live frames all pass through here, so a device
cannot disagree with training. A change that could move one grey level raises `PREPROCESS_VERSION`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Interpolation, Polarity, Preprocess
from edge_fm_runtime.image import exif, guard, resample
from edge_fm_runtime.image.decoding import Image, decode
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.image.resample import Resampling

MIN_PIXELS_PER_INPUT_PIXEL = 2
"""Pixels per input pixel, along each axis, that a JPEG decoded at 1/2, 1/4 or 1/8 of its size must keep.

`benchmarks/label.py agreement` measures the effect on tensors and labels."""

_IMAGE_PIXELS = 4
"""The same for images that are augmented before they are fitted."""

_FRAME_PIXELS = 8
"""The same for camera frames, which are halved.

On 512 photographs this differs from one area resize by 0.1 to 0.2 grey levels on average and by up to 4 at
hard edges; with a value of 4 it would differ by up to 14."""


def tensor_from_bytes(
    data: bytes,
    spec: InputSpec,
    preprocessing: Preprocess,
    limits: Limits = guard.DEFAULT_LIMITS,
    *,
    full_scale: bool = False,
) -> Image:
    """Return the input tensor of an encoded image.

    Args:
        data: the bytes of a JPEG, PNG, WebP or BMP file.
        spec: the input of the model.
        preprocessing: the preprocessing of the model.
        limits: size limits.
        full_scale: whether to decode a JPEG at full size even where reduced size would do.

    Returns:
        (height, width, channels) uint8 in [0, 255].

    Raises:
        InputError: the bytes are not an image that can be decoded within the limits.
        MemoryError: there is not enough memory.
    """
    header = guard.check(data, limits)
    resampling = _resampling(header.upright_size, spec, preprocessing)
    if header.format is not ImageFormat.JPEG or resampling.ratio < 1:
        return tensor_from_image(
            decode(data, header, spec.channels, preprocessing.fill, 1), spec, preprocessing
        )
    reduction = 1 if full_scale else _reduction(header, resampling, MIN_PIXELS_PER_INPUT_PIXEL)
    means = decode(data, header, spec.channels, preprocessing.fill, reduction)
    shrunk = _shrink_blocks(means, header, resampling, reduction)
    return _place_in_input(shrunk, resampling, spec, preprocessing)


def pixels_per_input_pixel(
    data: bytes, spec: InputSpec, preprocessing: Preprocess, limits: Limits = guard.DEFAULT_LIMITS
) -> float:
    """Return the number of decoded pixels per input pixel along one axis.

    Args:
        data: an encoded image that `tensor_from_bytes` accepts.
        spec: the input of the model.
        preprocessing: the preprocessing of the model.
        limits: size limits, the same as for `tensor_from_bytes`.

    Returns:
        2 or more where `tensor_from_bytes` decodes the image at reduced size, infinity where it does so at
        full size.
    """
    header = guard.check(data, limits)
    resampling = _resampling(header.upright_size, spec, preprocessing)
    reduction = _reduction(header, resampling, MIN_PIXELS_PER_INPUT_PIXEL)
    return resampling.ratio / reduction if reduction > 1 else math.inf


def image_from_bytes(data: bytes, spec: InputSpec, preprocessing: Preprocess) -> Image:
    """Return a decoded image, upright and in its own proportions, for augmentation before it is fitted.

    Args:
        data: the bytes of a JPEG, PNG, WebP or BMP file.
        spec: the input of the model; a JPEG may be decoded at a reduced size that is large enough for it.
        preprocessing: the preprocessing of the model.

    Returns:
        (height, width) uint8 grey for one channel, (height, width, 3) RGB for three.

    Raises:
        InputError: the bytes are not an image that can be decoded within the limits.
        MemoryError: there is not enough memory.
    """
    header = guard.check(data)
    resampling = _resampling(header.upright_size, spec, preprocessing)
    return decode(
        data, header, spec.channels, preprocessing.fill, _reduction(header, resampling, _IMAGE_PIXELS)
    )


def frame_reduction(header: Header, region: tuple[int, int], spec: InputSpec) -> int:
    """Return the factor by which an encoded frame may be shrunk while it is decoded: 1, 2, 4 or 8.

    Args:
        header: the header of the frame; only JPEGs are shrunk.
        region: height and width in pixels of the part that is classified.
        spec: the input of the model.
    """
    resampling = Resampling((0, 0, *region), (spec.height, spec.width))
    return _reduction(header, resampling, _FRAME_PIXELS)


def frame_from_bytes(data: bytes, limits: Limits = guard.DEFAULT_LIMITS, reduction: int = 1) -> Image:
    """Return an encoded image as a camera would deliver it, for streams of image files.

    Args:
        data: the bytes of a JPEG, PNG, WebP or BMP file.
        limits: size limits.
        reduction: factor by which a JPEG is shrunk while it is decoded, as `frame_reduction` returns it.

    Returns:
        (height, width, 3) uint8 in OpenCV's blue, green, red order, upright.

    Raises:
        InputError: the bytes are not an image that can be decoded within the limits.
        MemoryError: there is not enough memory.
    """
    rgb = decode(data, guard.check(data, limits), 3, 0, reduction)
    return as_uint8(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def tensor_from_frame(
    frame_bgr: Image, spec: InputSpec, preprocessing: Preprocess, greys: NDArray[np.uint8] | None = None
) -> Image:
    """Return the input tensor of a camera frame.

    A large frame is halved, averaging two by two pixels, while eight or more pixels per input pixel are left.
    It is halved further where its size is a multiple of its size in the input; this differs by half a level
    on average and by two at most. Halving is over twice as fast as one area resize; `_FRAME_PIXELS` states
    how much it differs.

    Args:
        frame_bgr: (height, width, 3) uint8 in OpenCV's blue, green, red order; or (height, width) grey for
            one channel.
        spec: the input of the model.
        preprocessing: the preprocessing of the model.
        greys: (256,) uint8, the grey level of each value in a grey frame, if the values are not grey levels.

    Returns:
        (height, width, channels) uint8 in [0, 255].
    """
    code = cv2.COLOR_BGR2GRAY if spec.channels == 1 else cv2.COLOR_BGR2RGB
    is_grey = frame_bgr.ndim == 2 and spec.channels == 1  # noqa: PLR2004
    image = frame_bgr if is_grey else as_uint8(cv2.cvtColor(frame_bgr, code))
    size = _resampling((image.shape[0], image.shape[1]), spec, preprocessing).size
    while _can_be_halved(image, size, spec):
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = as_uint8(cv2.resize(image, half, interpolation=cv2.INTER_AREA))
    if greys is not None:
        image = as_uint8(cv2.LUT(image, greys))
    return tensor_from_image(image, spec, preprocessing)


def _can_be_halved(image: Image, size: tuple[int, int], spec: InputSpec) -> bool:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return False
    is_multiple = height % (2 * size[0]) == 0 and width % (2 * size[1]) == 0
    return bool(is_multiple or min(height / spec.height, width / spec.width) >= 2 * _FRAME_PIXELS)


def tensor_from_image(image: Image, spec: InputSpec, preprocessing: Preprocess) -> Image:
    """Return the input tensor of a decoded image.

    Args:
        image: (height, width) grey for one channel, (height, width, 3) RGB for three.
        spec: the input of the model.
        preprocessing: the preprocessing of the model.

    Returns:
        (height, width, channels) uint8 in [0, 255].
    """
    resampling = _resampling((image.shape[0], image.shape[1]), spec, preprocessing)
    top, left, height, width = (round(edge) for edge in resampling.region)
    part = image[top : top + height, left : left + width]
    is_whole = resampling.region == (top, left, height, width)
    if is_whole and part.shape[:2] == resampling.size:
        return _place_in_input(part, resampling, spec, preprocessing)
    if resampling.ratio < 1 and preprocessing.interpolation is Interpolation.AREA:
        resized = as_uint8(cv2.resize(part, resampling.size[::-1], interpolation=cv2.INTER_LINEAR))
    else:
        rows, columns = resample.Line(image.shape[0], 1), resample.Line(image.shape[1], 1)
        resized = resample.shrink(image, rows, columns, resampling)
    return _place_in_input(resized, resampling, spec, preprocessing)


def _resampling(size: tuple[int, int], spec: InputSpec, preprocessing: Preprocess) -> Resampling:
    (height, width), whole, usual = size, (spec.height, spec.width), preprocessing.interpolation
    if preprocessing.fit is Fit.STRETCH or size == whole:
        return Resampling((0, 0, height, width), whole, usual)
    if preprocessing.fit is Fit.LETTERBOX:
        scale = min(spec.height / height, spec.width / width)
        inner_height = min(spec.height, max(1, round(height * scale)))
        inner_width = min(spec.width, max(1, round(width * scale)))
        return Resampling((0, 0, height, width), (inner_height, inner_width), usual)
    scale = max(spec.height / height, spec.width / width)
    if usual is Interpolation.LANCZOS:  # to the fraction of a pixel, as Pillow's ImageOps.fit
        tall, wide = spec.height / scale, spec.width / scale
        return Resampling(((height - tall) / 2, (width - wide) / 2, tall, wide), whole, usual)
    inner_height = min(height, max(1, round(spec.height / scale)))
    inner_width = min(width, max(1, round(spec.width / scale)))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return Resampling((top, left, inner_height, inner_width), whole, usual)


def _place_in_input(part: Image, resampling: Resampling, spec: InputSpec, preprocessing: Preprocess) -> Image:
    """Centre a part that has its final size in the input, and invert it if the preprocessing says so."""
    height, width = resampling.size
    if resampling.size != (spec.height, spec.width):
        canvas = np.full((spec.height, spec.width, *part.shape[2:]), preprocessing.fill, np.uint8)
        top, left = (spec.height - height) // 2, (spec.width - width) // 2
        canvas[top : top + height, left : left + width] = part
        part = canvas
    if preprocessing.polarity is Polarity.INVERT:
        part = as_uint8(255 - part)
    return part.reshape(spec.shape)


def _reduction(header: Header, resampling: Resampling, min_pixels: int) -> int:
    """Return the factor by which an image is shrunk while it is decoded: 1, 2, 4 or 8; only JPEGs are."""
    if header.format is not ImageFormat.JPEG:
        return 1
    return next((reduction for reduction in (8, 4, 2) if reduction <= resampling.ratio / min_pixels), 1)


def _shrink_blocks(means: Image, header: Header, resampling: Resampling, reduction: int) -> Image:
    (height, width), (tall, wide) = header.upright_size, exif.reversed_axes(header.orientation)
    rows, columns = resample.Line(height, reduction, tall), resample.Line(width, reduction, wide)
    return resample.shrink(means, rows, columns, resampling)
