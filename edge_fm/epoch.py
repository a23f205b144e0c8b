"""The pictures of one epoch: a data set's own, varied; some of them laid into surroundings; photographs; and nothing.

Everything is drawn anew from (seed, epoch), so any epoch can be had again without those before it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_fm import camera
from edge_fm.camera import Variation
from edge_fm.datasets import Split
from edge_fm.mixture import Photographs

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mix:
    """What an epoch is made of.

    Attributes:
        views: of each photograph.
        scenes: data set pictures laid into a surrounding, as a share of the data set.
        empties: pictures of nothing, as a share of the data set.
        variation: how far pictures are varied.
    """

    views: int = 6
    scenes: float = 0.08
    empties: float = 0.02
    variation: Variation = field(default_factory=Variation)


@dataclass(frozen=True)
class Material:
    """What is trained on, and what is watched meanwhile.

    Attributes:
        catalogue: the data set's training part, without its validation part.
        photographs: for training, if there are any.
        watched: validation pictures by name, each (N, H, W, C) uint8 with (N, classes) bool of allowed classes.
        classes: how many the model tells apart.
    """

    catalogue: Split
    photographs: Photographs | None
    watched: dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]
    classes: int

    def count(self, mix: Mix) -> int:
        """Return how many pictures an epoch has."""
        drawn = round(len(self.catalogue) * mix.scenes) + round(len(self.catalogue) * mix.empties)
        photographs = len(self.photographs.contents) * mix.views if self.photographs else 0
        return len(self.catalogue) + drawn + photographs


def pictures(material: Material, mix: Mix, seed: int, epoch: int) -> tuple[Floats, Floats]:
    """Return the pictures of an epoch in random order and their allowed classes.

    Returns:
        (N, H, W, 1) float32 in [0, 1] and (N, classes) float32 of zeros and ones.
    """
    rng = np.random.default_rng([seed, epoch])
    vary, source = mix.variation, material.catalogue
    size = source.images.shape[1]
    eye = np.eye(material.classes, dtype=np.float32)
    images = [camera.catalogue(image, vary, rng) for image in source.images[..., 0]]
    allowed = [eye[source.labels]]
    chosen = rng.choice(len(source), round(len(source) * mix.scenes), replace=False)
    images += [camera.scene(source.images[index, ..., 0], vary, rng) for index in chosen]
    allowed.append(eye[source.labels[chosen]])
    empties = round(len(source) * mix.empties)
    images += [camera.empty(size, rng) for _ in range(empties)]
    allowed.append(np.zeros((empties, material.classes), np.float32))
    if material.photographs is not None:
        for _ in range(mix.views):
            images += [
                camera.photograph(content, size, vary, rng) for content in material.photographs.contents
            ]
            allowed.append(material.photographs.allowed.astype(np.float32))
    order = rng.permutation(len(images))
    stacked = np.stack(images)[order, ..., np.newaxis].astype(np.float32) / np.float32(255)
    return stacked, np.concatenate(allowed)[order]
