"""Draw backgrounds, plain, textured or cluttered, and place product images on them."""

import numpy as np

from edge_fm.augmentation.transforms import (
    _SUPERSAMPLING,
    _USUAL_SIZE,
    Grey,
    Picture,
    Variation,
    photometric_jitter,
    product_view,
)
from edge_fm_runtime.image.opencv import as_uint8, cv2


def scene(image: Picture, variation: Variation, rng: np.random.Generator) -> Picture:
    """Return a product image composed onto a drawn background, dark on light or light on dark.

    Args:
        image: square, the object bright on a dark background.
        variation: limits of the transforms.
        rng: random generator.

    Returns:
        a picture of the same shape; an object in colour keeps its colours.
    """
    garment = product_view(image, variation, rng).astype(np.float32)
    size, is_grey = image.shape[0], image.ndim == 2  # height, width
    brightest = garment if is_grey else garment.max(axis=2)
    cover = cv2.GaussianBlur(np.clip(brightest / 24, 0, 1), (0, 0), 0.6 * size / _USUAL_SIZE)
    tone = garment if rng.random() < 0.5 or not is_grey else 255 - garment
    ground = empty_scene(size, rng)
    if not is_grey:
        ground, cover = tinted(ground, rng), cover[..., None]
    return photometric_jitter(np.rint(ground * (1 - cover) + tone * cover).astype(np.uint8), rng)


def tinted(image: Grey, rng: np.random.Generator) -> Picture:
    """Return a grey image (height, width) in RGB: its greys become the shades between two random colours."""
    dark, light = rng.integers(0, 256, (2, 3)).astype(np.float32)
    share = image[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(dark + (light - dark) * share), np.uint8)


def empty_scene(size: int, rng: np.random.Generator) -> Grey:
    """Return a background without an object: a shade, a gradient, stripes, edges, blobs or noise."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    image = rng.uniform(10, 245) + rng.uniform(0, 60) * axis
    kind = rng.integers(5)
    if kind == 1:
        image += rng.uniform(5, 50) * np.sin(axis * rng.uniform(3, 30) + rng.uniform(0, 6))
    elif kind == 2:
        image = np.where(axis > rng.uniform(-0.7, 0.7), image, rng.uniform(0, 255))
    elif kind == 3:
        coarse = rng.uniform(-1, 1, (int(rng.integers(2, 9)),) * 2).astype(np.float32)
        image += rng.uniform(10, 90) * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    elif kind == 4:
        image += rng.normal(0, rng.uniform(5, 60), (size, size))
    canvas = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 5))):
        a, b = rng.integers(-size // 4, size + size // 4, (2, 2))
        shade, width = int(rng.integers(0, 256)), int(rng.integers(1, 4))
        if rng.random() < 0.5:
            cv2.line(canvas, a.tolist(), b.tolist(), shade, width, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, a.tolist(), b.tolist(), shade, cv2.FILLED if rng.random() < 0.5 else 1)
    return canvas


def clutter(size: int, rng: np.random.Generator) -> Grey:
    """Return a background with two to seven unknown objects in its middle: polygons, blots, strips."""
    fine = size * _SUPERSAMPLING
    canvas = empty_scene(fine, rng)
    for _ in range(int(rng.integers(2, 8))):
        shade, kind = int(rng.integers(256)), rng.integers(3)
        middle, reach = rng.uniform(0.25, 0.75, 2) * fine, rng.uniform(0.08, 0.4) * fine
        if kind == 2:
            coarse = rng.normal(0, 1, (int(rng.integers(3, 6)),) * 2).astype(np.float32)
            blot = cv2.resize(coarse, (fine, fine), interpolation=cv2.INTER_CUBIC)
            across, down = np.meshgrid(np.arange(fine) - middle[0], np.arange(fine) - middle[1])
            canvas[(blot > 0) & (across**2 + down**2 < reach**2)] = shade
            continue
        turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        corners = middle + np.column_stack([np.cos(turns), np.sin(turns)]) * reach * rng.uniform(
            0.3, 1, (len(turns), 1)
        )
        points = np.rint(corners).astype(np.int32)
        if kind == 1:
            cv2.fillPoly(canvas, [points], shade, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [points], False, shade, int(rng.integers(2, 9)), cv2.LINE_AA)
    return photometric_jitter(as_uint8(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)), rng)
