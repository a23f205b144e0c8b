"""The samples: garments drawn by our own code, as files and as a video.

They lie in `samples/` of the checkout; an installed package without a checkout draws the same again.
"""

from pathlib import Path

import numpy as np

from edge_fm.datasets import GARMENTS, wardrobe
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.image.opencv import cv2

CHECKOUT = Path(__file__).resolve().parents[2] / "samples"
"""Where the samples of a checkout are; absent from an installed package."""

PER_CLASS = 4
SIZE = 224
SEED = 7
FRAMES_PER_GARMENT = 24
FRAMES_PER_SECOND = 24


def file_stem(class_name: str) -> str:
    """Return a class name as it stands in a file's name."""
    return class_name.lower().replace("/", "-").replace(" ", "-")


def class_of(path: Path) -> str:
    """Return the class that a sample's file name says."""
    stem = path.stem.rsplit("_", 1)[0]
    return next(name for name in GARMENTS if file_stem(name) == stem)


def draw_pictures(folder: Path) -> None:
    """Draw `PER_CLASS` garments of each class as PNG files, `trouser_1.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for label, name in enumerate(GARMENTS):
        for number in range(1, PER_CLASS + 1):
            picture = wardrobe.draw(label, rng, SIZE)
            (folder / f"{file_stem(name)}_{number}.png").write_bytes(
                cv2.imencode(".png", picture)[1].tobytes()
            )


def draw_video(path: Path) -> None:
    """Draw a video in which one garment of each class drifts past, a second each.

    Raises:
        OutputError: this OpenCV cannot write it.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, (SIZE, SIZE))
    if not writer.isOpened():
        raise OutputError(f"{path} cannot be written: this OpenCV has no mp4 writer")
    rng = np.random.default_rng(SEED + 1)
    for label in range(len(GARMENTS)):
        garment = wardrobe.draw(label, rng, SIZE)
        for frame in range(FRAMES_PER_GARMENT):
            shift = 3 * np.sin(2 * np.pi * frame / FRAMES_PER_GARMENT)
            moved = cv2.warpAffine(garment, np.array([[1, 0, shift], [0, 1, 0]], np.float32), (SIZE, SIZE))
            writer.write(cv2.cvtColor(moved, cv2.COLOR_GRAY2BGR))
    writer.release()
