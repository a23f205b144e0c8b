"""Pictures that a training leaves in its run folder, for the export: to calibrate int8 on, and to fit the decision to."""

from pathlib import Path

import numpy as np

from edge_fm.training.edge import epoch_data
from edge_fm.training.edge.epoch_data import Mix, TrainingImages

_CALIBRATION = 512

_LESSON = 2000
"""Pictures of each kind."""


def keep_calibration(path: Path, material: TrainingImages, mix: Mix, seed: int) -> None:
    """Keep training pictures as a device will see them, half of each kind, for the ranges of int8."""
    sample = material.catalogue.sample(_CALIBRATION, seed)
    kept = [sample.images]
    if material.scenery.drawn is not None:
        kept.append(
            epoch_data.camera_views(sample, material.classes, material.scenery, mix.variation, seed)[0]
        )
    if material.photographs is not None:
        tensors = material.photographs.tensors
        chosen = np.random.default_rng(seed).permutation(len(tensors))[:_CALIBRATION]
        kept.append(tensors[np.sort(chosen)])
    images = np.concatenate(kept)
    np.savez_compressed(path, images=np.random.default_rng(seed).permutation(images))


def keep_validation(path: Path, material: TrainingImages, seed: int) -> None:
    """Keep what was watched, as many of each kind, so that a threshold does not suit only the larger."""
    count = min(len(images) for images, _ in material.watched.values())
    images, allowed = [], []
    for watched, right in material.watched.values():
        chosen = np.sort(np.random.default_rng(seed).permutation(len(watched))[:count])
        images.append(watched[chosen])
        allowed.append(right[chosen])
    np.savez_compressed(path, images=np.concatenate(images), allowed=np.concatenate(allowed))


def keep_ood_calibration(path: Path, material: TrainingImages, mix: Mix, seed: int, number: int) -> None:
    """Keep pictures of one more epoch, of this number: those of no class that the model knows, and as many of the others."""
    drawn = epoch_data.draw_epoch(material, mix, seed, number)
    known = drawn.allowed.any(axis=1)
    count = min(_LESSON, np.count_nonzero(known), np.count_nonzero(~known))
    chosen = np.concatenate([np.flatnonzero(part)[:count] for part in (known, ~known)])
    np.savez_compressed(
        path,
        images=drawn.images[chosen],
        allowed=drawn.allowed[chosen].astype(bool),
    )
