"""Draw photographs of garments in rooms for `models.py`, as JPEG files of full size.

They may be published, so the model card shows them; they are never used in training. Training seeds its
backgrounds with [0, epoch]; these have the seeds [SEED, number].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation import backgrounds, transforms
from edge_fm.datasets import wardrobe
from edge_fm_runtime.image.opencv import cv2

SEED = 20_261_122
_SIDE = 224


@dataclass(frozen=True)
class RoomPhoto:
    """A photograph of about 400x400 pixels.

    Attributes:
        data: content of a JPEG file.
        label: class index in the order of Fashion-MNIST; None without a garment.
    """

    data: bytes
    label: int | None


def draw_garments(count: int) -> list[RoomPhoto]:
    """Return photographs of drawn garments, dark on light or light on dark, balanced by class."""
    return [_draw_garment(number) for number in range(count)]


def draw_unknown(kind: str, count: int) -> list[RoomPhoto]:
    """Return photographs without a garment.

    Args:
        kind: `empty scenes`, `noise`, or `drawn clutter`: blots and strokes in the middle of a scene.
        count: number of photographs.
    """
    return [_draw_unknown(kind, number) for number in range(count)]


def _draw_garment(number: int) -> RoomPhoto:
    rng = np.random.default_rng([SEED, 0, number])
    label = number % 10
    garment = wardrobe.draw(label, rng, _SIDE).astype(np.float32)
    cover = cv2.GaussianBlur(np.clip((garment - 16) / 16, 0, 1), (0, 0), 1.5)
    tone = garment if rng.random() < 0.5 else 255 - garment
    ground = backgrounds.empty_scene(_SIDE, rng).astype(np.float32)
    return RoomPhoto(_jpeg(ground * (1 - cover) + tone * cover, rng), label)


def _draw_unknown(kind: str, number: int) -> RoomPhoto:
    rng = np.random.default_rng([SEED, 1, number])
    if kind == "noise":
        grain = int(rng.integers(4, 57))
        noise = np.asarray(cv2.resize(rng.uniform(0, 255, (grain, grain)), (_SIDE, _SIDE)), np.float32)
        return RoomPhoto(_jpeg(noise, rng), None)
    picture = backgrounds.empty_scene(_SIDE, rng)
    for _ in range(int(rng.integers(3, 9)) if kind == "drawn clutter" else 0):
        centre, axes = rng.integers(30, _SIDE - 30, 2).tolist(), rng.integers(8, 70, 2).tolist()
        shade, turn = int(rng.integers(256)), float(rng.uniform(0, 180))
        end = float(rng.uniform(60, 360))
        cv2.ellipse(picture, centre, axes, turn, 0, end, shade, int(rng.choice([-1, 3, 9])), cv2.LINE_AA)
    return RoomPhoto(_jpeg(picture.astype(np.float32), rng), None)


def _jpeg(picture: NDArray[np.float32], rng: np.random.Generator) -> bytes:
    """Return an image with photometric jitter as a JPEG file."""
    large = cv2.resize(picture, (400, 400), interpolation=cv2.INTER_CUBIC)
    seen = transforms.photometric_jitter(np.clip(np.rint(large), 0, 255).astype(np.uint8), rng)
    return cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])[1].tobytes()
