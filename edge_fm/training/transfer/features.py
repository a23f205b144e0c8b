"""Compute features of images by a backbone, each image once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_fm.models.backbones import Backbone
from edge_fm.training.transfer.feature_cache import FeatureCache
from edge_fm_runtime.artifact.session import OnnxSession

Progress = Callable[[int], None]
"""Called with the number of images done since the last call."""

_BATCH = 8


class FeatureExtractor:
    """A backbone with its cache.

    Attributes:
        session: the backbone in onnxruntime, on one thread.
    """

    def __init__(self, backbone: Backbone, cache: FeatureCache) -> None:
        self.session = OnnxSession(backbone.data)
        self._backbone, self._cache = backbone, cache

    def compute(
        self, images: NDArray[np.uint8], progress: Progress = lambda _count: None
    ) -> NDArray[np.float32]:
        """Return (N, features) float32 for (N, height, width, 3) uint8, as far as it goes from the cache."""
        found = np.empty((len(images), self._backbone.features), np.float32)
        missing: list[int] = []
        for index, image in enumerate(images):
            known = self._cache.get(image)
            if known is None:
                missing.append(index)
            else:
                found[index] = known
        progress(len(images) - len(missing))
        for start in range(0, len(missing), _BATCH):
            part = missing[start : start + _BATCH]
            found[part] = self.session.run(images[part])
            for index in part:
                self._cache.put(images[index], found[index])
            progress(len(part))
        return found

    def trim(self) -> None:
        """Remove the oldest features from the cache where it is too large."""
        self._cache.trim()
