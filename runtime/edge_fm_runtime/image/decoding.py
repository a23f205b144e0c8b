"""Decode images with OpenCV: upright, grey or RGB, over the fill, JPEGs at reduced size if asked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image import exif, guard
from edge_fm_runtime.image.formats import png, webp
from edge_fm_runtime.image.header import Header, ImageFormat
from edge_fm_runtime.image.opencv import as_uint8, cv2

Image = NDArray[np.uint8]
"""(height, width) grey or (height, width, 3) colour, uint8; each function states its colour order."""

_GREY_REDUCED = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_COLOUR_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode(data: bytes, header: Header, channels: int, fill: int, reduction: int) -> Image:
    """Decode an image and turn it upright by the EXIF orientation in its header.

    Args:
        data: bytes that `guard.check` has accepted.
        header: the header that it returned.
        channels: 1 for grey (ITU-R BT.601), 3 for RGB.
        fill: grey level in [0, 255] behind transparent pixels.
        reduction: factor by which a JPEG is shrunk while it is decoded: 1, 2, 4 or 8.

    Returns:
        (height, width) uint8 grey for one channel, (height, width, 3) RGB for three.

    Raises:
        InputError: the bytes cannot be decoded.
        MemoryError: there is not enough memory.
    """
    if header.has_alpha:
        return _decode_over_fill(data, header, channels, fill)
    # OpenCV ignores the orientation of a WebP whose EXIF block has a prefix.
    flags = (_GREY_REDUCED if channels == 1 else _COLOUR_REDUCED)[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    image = _decode_stored(data, header, flags)
    stored = as_uint8(image if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return _turn_upright(stored, header.orientation)


def _decode_over_fill(data: bytes, header: Header, channels: int, fill: int) -> Image:
    """Decode with alpha, composite over the fill, turn upright: OpenCV's unchanged mode ignores EXIF."""
    image = _decode_stored(data, header, cv2.IMREAD_UNCHANGED)
    scale = 257 if image.dtype == np.uint16 else 1
    if image.ndim == 3 and image.shape[2] == 4:  # noqa: PLR2004  # blue, green, red, alpha
        alpha = image[..., 3:].astype(np.float32) / (255 * scale)
        levels = image[..., :3].astype(np.float32) / scale * alpha + fill * (1 - alpha)
    else:
        levels = image.astype(np.float32) / scale
        if header.transparent_grey is not None:
            levels[image == header.transparent_grey] = fill
    upright = _turn_upright(as_uint8(np.rint(levels).astype(np.uint8)), header.orientation)
    is_grey = upright.ndim == 2  # noqa: PLR2004
    if channels == 1:
        return upright if is_grey else as_uint8(cv2.cvtColor(upright, cv2.COLOR_BGR2GRAY))
    return as_uint8(cv2.cvtColor(upright, cv2.COLOR_GRAY2RGB if is_grey else cv2.COLOR_BGR2RGB))


def _decode_stored(data: bytes, header: Header, flags: int) -> NDArray[np.integer[Any] | np.floating[Any]]:
    """Decode an image as it is stored, neither turned nor over the fill: uint8, or uint16 if unchanged."""
    encoded: bytes | bytearray = data
    if header.format is ImageFormat.PNG:
        encoded = png.for_opencv(data)
    elif header.format is ImageFormat.WEBP:
        encoded = webp.for_opencv(data)
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:  # a retry may cure a lack of memory, unlike a damaged image
            raise MemoryError(str(error)) from error
        image = None
    if image is None:
        raise guard.decoding_error(data, header)
    return image


def _turn_upright(image: Image, orientation: int) -> Image:
    """Turn a stored image upright."""
    if exif.is_sideways(orientation):
        image = as_uint8(cv2.transpose(image))
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else as_uint8(cv2.flip(image, flip))
