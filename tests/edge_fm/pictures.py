"""Images and recipe files for tests of trainings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.training.edge.train import TrainingSources
from edge_fm_runtime.image.opencv import cv2

MAP = '[photos]\ndress = ["Dress"]\nshoes = ["Sandal", "Sneaker"]\nhat = []\n'


def picture(seed: int, height: int = 160, width: int = 120) -> NDArray[np.uint8]:
    """Return a smooth random grey image."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        cv2.GaussianBlur(rng.integers(0, 256, (height, width), dtype=np.uint8), (0, 0), 6), np.uint8
    )


def small() -> datasets.Dataset:
    """Return a small part of the wardrobe."""
    return datasets.limited(datasets.load("wardrobe"), 120, 40)


def training_sources(data: Dataset, *, architecture: str = "edge-nano", **more: Any) -> TrainingSources:
    """Return the sources of a training on the wardrobe."""
    return TrainingSources(architecture=architecture, data=data, data_name="wardrobe", **more)


def write_recipe(
    folder: Path, text: str = "", *, model: str = "edge-nano", data: object = "wardrobe"
) -> Path:
    """Write a recipe file with the tables in `text`, and return its path."""
    path = folder / "recipe.toml"
    path.write_text(
        f"model = {json.dumps(model)}\ndata = {json.dumps(str(data))}\n{text}\n", encoding="utf-8"
    )
    return path


def photographs_table(photos: Path, more: str = "") -> str:
    """Return the photographs table of a recipe file."""
    class_map = json.dumps(str(photos.parent / "map.toml"))
    return f"[photographs]\nfolder = {json.dumps(str(photos))}\nclass_map = {class_map}\n{more}\n"
