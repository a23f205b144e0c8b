"""Save and restore the state of a training after each epoch, so that a killed one resumes."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm.training.edge.epoch_data import TrainingImages
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.untrusted.npz import read_arrays

FILE = "state.npz"

KerasModel = Any
"""A compiled `keras.Model`; Keras ships no types."""

History = list[dict[str, float]]


def fingerprint(model: KerasModel, images: TrainingImages, settings: dict[str, object]) -> str:
    """Return what must be equal for a training to resume: network, images, settings and first weights."""
    weights = hashlib.sha256()
    for variable in model.variables:
        weights.update(np.ascontiguousarray(variable).tobytes())
    pictures = hashlib.sha256(images.product_images.images.tobytes() + images.product_images.labels.tobytes())
    if images.photographs is not None:
        pictures.update(images.photographs.tensors.tobytes() + images.photographs.allowed.tobytes())
        if images.photographs.soft_labels is not None:
            pictures.update(images.photographs.soft_labels.probabilities.tobytes())
    facts = {
        "network": model.name,
        "pictures": pictures.hexdigest(),
        "settings": settings,
        "weights": weights.hexdigest(),
    }
    return json.dumps(facts, sort_keys=True)


def save(model: KerasModel, path: Path, history: History, whose: str) -> None:
    """Save weights, optimizer and history; the file appears under its name only when it is whole."""
    arrays = {f"m{i}": np.asarray(v) for i, v in enumerate(model.variables)}
    arrays |= {f"o{i}": np.asarray(v) for i, v in enumerate(model.optimizer.variables)}
    arrays |= {"history": np.array(json.dumps(history)), "whose": np.array(whose)}
    partial = path.with_suffix(".partial.npz")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)


def restore(model: KerasModel, path: Path, whose: str) -> History:
    """Restore a model and its optimizer from `path`, if it exists; return the history so far.

    Raises:
        DataError: the file is of another training, or damaged.
    """
    if not path.is_file():
        return []
    try:
        kept = read_arrays(path)
        if str(kept["whose"]) != whose:
            raise DataError(
                f"{path} is of a training with other settings, pictures or weights to begin with: give another folder with -o, or --fresh"
            )
        for prefix, variables in (("m", model.variables), ("o", model.optimizer.variables)):
            for index, variable in enumerate(variables):
                variable.assign(kept[f"{prefix}{index}"])
        history: History = json.loads(str(kept["history"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is damaged or of another model ({error}): delete it to begin anew"
        ) from error
    return history
