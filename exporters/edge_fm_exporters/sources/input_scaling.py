"""Layers of a Keras model that scale pixels, as evidence of what the pixels were in training."""

from typing import Any

import numpy as np

_GEOMETRY = {
    *("InputLayer", "Resizing", "CenterCrop", "RandomCrop", "RandomFlip", "RandomRotation", "RandomZoom"),
    *("RandomTranslation", "RandomHeight", "RandomWidth", "ZeroPadding2D", "Reshape", "RandomContrast"),
    *("RandomBrightness", "Dropout", "GaussianNoise"),
}
"""Layers that leave the range of the pixels as it is."""

FROM_BYTES = 0.1
"""Factor of a Rescaling below which its pixels are in [0, 255] and not in [0, 1]."""

_UNIT_RANGE = 1.0


def raw_pixels_note(model: Any) -> str:  # noqa: ANN401  # Keras ships no types
    """Return which layer shows that a network takes pixels in [0, 255]; empty if none does.

    It is a Rescaling with a small factor or a Normalization with large means, as the first layer that changes
    values. A Normalization of pixels in [0, 1], and a Rescaling of them to others, show no such thing.
    """
    layer = _first_that_changes_values(model)
    kind = type(layer).__name__
    if kind == "Rescaling":
        is_raw = bool(np.max(np.abs(layer.scale)) < FROM_BYTES)
    elif kind == "Normalization":
        mean, variance = (np.asarray(getattr(layer, name), np.float64) for name in ("mean", "variance"))
        is_raw = bool(max(mean.max(), np.sqrt(variance.max())) > _UNIT_RANGE)
    else:
        is_raw = False
    if not is_raw:
        return ""
    return f"pixels in training: raw, for the layer {layer.name!r} scales pixels of [0, 255]"


def _first_that_changes_values(model: Any) -> Any:  # noqa: ANN401
    """Return the first layer, also inside layers, that changes values; None if all keep them."""
    for layer in getattr(model, "operations", model.layers):
        if type(layer).__name__ in _GEOMETRY:
            continue
        found = _first_that_changes_values(layer) if hasattr(layer, "layers") else layer
        if found is not None:
            return found
    return None
