"""Find the scale of a network's pixels in training, where its file does not state it."""

import numpy as np

from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import OPTIONS, RAW, UNIT, Scale, standard_scale
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.errors import ExportError

ENOUGH = 1000
"""Training pictures that are tried."""


def find_scale(
    source: SourceModel, training: LabelledImages | None
) -> tuple[Scale, tuple[tuple[Scale, float], ...]]:
    """Return the scale of the highest accuracy on training images, and the accuracy with each.

    Args:
        source: the network.
        training: pictures with classes that it was trained on, or such as it was trained on; None if there
            are none.

    Raises:
        ExportError: there are no pictures to try on, or no scale is better than guessing.
    """
    if training is None or training.labels is None:
        raise ExportError(
            f"{source.path} does not say what its pixels were in training: give {OPTIONS}, "
            "or --data DATA, on whose training pictures they are tried"
        )
    tried = (UNIT, RAW, standard_scale(training.images), Scale("standard:127.5:127.5", (127.5,), (127.5,)))
    images, labels = training.images[:ENOUGH], training.labels[:ENOUGH]
    scores = tuple(
        (scale, float(np.mean(source.predict(scale.apply(images)).argmax(axis=1) == labels)))
        for scale in tried
    )
    best, accuracy = max(scores, key=lambda pair: pair[1])
    if accuracy <= _least(source.classes):
        accuracies = ", ".join(f"{scale} {score:.1%}" for scale, score in scores)
        raise ExportError(
            f"{source.path} is right on {training.name} no more often than by chance, whatever its pixels were ({accuracies}): "
            f"give the data that it was trained on, or {OPTIONS}"
        )
    return best, scores


def _least(classes: int) -> float:
    """Return the accuracy that a trained network exceeds: a quarter of the way from chance to 1.

    An untrained network separates some classes by chance, the more so the more scales are tried.
    """
    chance = 1 / classes
    return chance + (1 - chance) / 4
