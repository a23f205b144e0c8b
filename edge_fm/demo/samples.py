"""Draw the samples: garments as PNG files and as a video.

A checkout has them in `samples/`; an installed package draws the same ones.
"""

from pathlib import Path

import numpy as np

from edge_fm.datasets import GARMENTS, wardrobe
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.image.opencv import cv2

CHECKOUT = Path(__file__).resolve().parents[2] / "samples"
"""Folder of the samples in a checkout; an installed package has none."""

PER_CLASS = 4
SIZE = 224
SEED = 7
FRAMES_PER_GARMENT = 24
FRAMES_PER_SECOND = 24


def file_stem(class_name: str) -> str:
    """Return a class name in the form used in file names."""
    return class_name.lower().replace("/", "-").replace(" ", "-")


def class_of(path: Path) -> str:
    """Return the class in the file name of a sample."""
    stem = path.stem.rsplit("_", 1)[0]
    return next(name for name in GARMENTS if file_stem(name) == stem)


def draw_pictures(folder: Path) -> None:
    """Draw `PER_CLASS` garments of each class as PNG files, `trouser_1.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for label, name in enumerate(GARMENTS):
        for number in range(1, PER_CLASS + 1):
            image = wardrobe.draw(label, rng, SIZE)
            (folder / f"{file_stem(name)}_{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())


def draw_video(path: Path) -> None:
    """Draw a video that shows one moving garment of each class for a second.

    Raises:
        OutputError: this OpenCV cannot write MP4 files.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, (SIZE, SIZE))
    if not writer.isOpened():
        raise OutputError(f"{path} cannot be written: this OpenCV has no MP4 writer. Install opencv-python")
    rng = np.random.default_rng(SEED + 1)
    for label in range(len(GARMENTS)):
        garment = wardrobe.draw(label, rng, SIZE)
        for frame in range(FRAMES_PER_GARMENT):
            shift = 3 * np.sin(2 * np.pi * frame / FRAMES_PER_GARMENT)
            moved = cv2.warpAffine(garment, np.array([[1, 0, shift], [0, 1, 0]], np.float32), (SIZE, SIZE))
            writer.write(cv2.cvtColor(moved, cv2.COLOR_GRAY2BGR))
    writer.release()
