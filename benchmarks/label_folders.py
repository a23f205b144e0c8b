"""Make folders of images to label, drawn or from photographs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import wardrobe
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.opencv import cv2


def make_images(folder: Path, kind: str, count: int) -> None:
    """Draw garments as files: 400x533 JPEG of about 27 kB, 12 MP JPEG, 28x28 PNG, or a mix."""
    rng = np.random.default_rng(0)
    distinct = []
    for index in range(24 if kind == "large" else 200):
        if kind == "png" or (kind == "mix" and index % 4 == 3):
            distinct.append((cv2.imencode(".png", wardrobe.draw(index % 10, rng))[1].tobytes(), ".png"))
            continue
        height, width = (4000, 3000) if kind == "large" or (kind == "mix" and index % 50 == 0) else (533, 400)
        small = cv2.resize(
            wardrobe.draw(index % 10, rng, 224), (width, height), interpolation=cv2.INTER_CUBIC
        )
        noise = cv2.resize(rng.normal(0, 40, (height // 3, width // 3)).astype(np.float32), (width, height))
        picture = np.clip(small[..., None] * [0.8, 0.9, 1.0] + noise[..., None] + 40, 0, 255).astype(np.uint8)
        distinct.append((_jpeg(picture), ".jpg"))
    for index in range(count):
        data, suffix = distinct[index % len(distinct)]
        (folder / f"{index:06}{suffix}").write_bytes(data)


def enlarge_photos(photos: list[Path], folder: Path, count: int, distinct: int) -> None:
    """Enlarge photographs to 12 megapixels and add sensor noise; `distinct` of the `count` files differ."""
    rng = np.random.default_rng(0)
    for index in range(distinct):
        small = preprocess.frame_from_bytes(photos[index * len(photos) // distinct].read_bytes())
        height, width = (4000, 3000) if small.shape[0] >= small.shape[1] else (3000, 4000)
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = cv2.resize(
            rng.normal(0, 12, (height // 2, width // 2, 3)).astype(np.float32), (width, height)
        )
        picture = np.clip(large + noise, 0, 255).astype(np.uint8)
        data = _jpeg(picture)
        for copy in range(index, count, distinct):
            (folder / f"{copy:06}.jpg").write_bytes(data)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return a JPEG file with the bytes per pixel of 27 kB for 400x533."""
    for quality in (85, 75, 65, 55, 45, 35, 25):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) < 0.14 * picture.shape[0] * picture.shape[1]:
            break
    return data
