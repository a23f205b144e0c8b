"""Keep the images that an export needs in the run folder: to calibrate int8 and to fit the decision."""

from pathlib import Path

import numpy as np

from edge_fm.models import runs
from edge_fm.training.edge import epoch_data
from edge_fm.training.edge.epoch_data import TrainingImages
from edge_fm.training.edge.settings import EdgeSettings

_CALIBRATION = 512
"""Images of each kind for the ranges of int8."""

_OOD_CALIBRATION = 2000
"""Images of known classes, and as many of none, for the known-class score."""


def keep_all(folder: Path, images: TrainingImages, settings: EdgeSettings) -> None:
    """Write every set that an export needs into a run folder."""
    keep_calibration(folder / runs.CALIBRATION, images, settings)
    keep_validation(folder / runs.VALIDATION, images, settings.seed)
    keep_ood_calibration(folder / runs.OOD_CALIBRATION, images, settings)


def keep_calibration(path: Path, images: TrainingImages, settings: EdgeSettings) -> None:
    """Keep training images as a device will see them, half of each kind, for the ranges of int8."""
    sample = images.product_images.sample(_CALIBRATION, settings.seed)
    kept = [sample.images]
    if images.scenery.drawn is not None:
        variation = settings.mix.variation
        views, _ = epoch_data.camera_views(sample, images.classes, images.scenery, variation, settings.seed)
        kept.append(views)
    if images.photographs is not None:
        tensors = images.photographs.tensors
        chosen = np.random.default_rng(settings.seed).permutation(len(tensors))[:_CALIBRATION]
        kept.append(tensors[np.sort(chosen)])
    together = np.concatenate(kept)
    np.savez_compressed(path, images=np.random.default_rng(settings.seed).permutation(together))


def keep_validation(path: Path, images: TrainingImages, seed: int) -> None:
    """Keep as many validation images of each kind, so that a threshold does not suit only the larger one."""
    count = min(len(part) for part, _ in images.validation.values())
    kept, allowed = [], []
    for part, right in images.validation.values():
        chosen = np.sort(np.random.default_rng(seed).permutation(len(part))[:count])
        kept.append(part[chosen])
        allowed.append(right[chosen])
    np.savez_compressed(path, images=np.concatenate(kept), allowed=np.concatenate(allowed))


def keep_ood_calibration(path: Path, images: TrainingImages, settings: EdgeSettings) -> None:
    """Keep images of one more epoch: those of no known class, and as many of the others."""
    epoch = settings.epochs
    drawn = epoch_data.draw_epoch(images, settings.mix_of(epoch), settings.seed, epoch)
    known = drawn.allowed.any(axis=1)
    count = min(_OOD_CALIBRATION, np.count_nonzero(known), np.count_nonzero(~known))
    chosen = np.concatenate([np.flatnonzero(part)[:count] for part in (known, ~known)])
    np.savez_compressed(path, images=drawn.images[chosen], allowed=drawn.allowed[chosen].astype(bool))
