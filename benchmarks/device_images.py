"""Write 1,000 test images for `device.sh` as PNG and JPEG files.

They are from Fashion-MNIST and MNIST where these are available, else drawn garments.
"""

import sys
from pathlib import Path

import numpy as np

from edge_fm import datasets
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import cv2

COUNT = 1000


def main() -> None:
    """Write the images."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    parts = []
    for name in ("fashion-mnist", "mnist"):
        try:
            parts.append(datasets.load(name).test.images[: COUNT // 2])
        except DataError:
            parts.append(datasets.load("wardrobe").test.images[: COUNT // 2])
    for number, image in enumerate(np.concatenate(parts)):
        suffix = "png" if number % 2 else "jpg"
        large = image if number % 4 < 2 else cv2.resize(image, (300, 200), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:04d}.{suffix}"), large)


if __name__ == "__main__":
    main()
