"""Start a training from the weights of a run, or of an exported file of the same network.

An export folds batch normalisation into the convolutions, and may have rounded the weights to int8. What the
normalisation would have seen is measured on training pictures, so that the network answers as the file does
and can be trained on.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.models import runs
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import flip_ensemble, weights
from edge_fm_exporters.sources import archive_limits
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.model_file import BUNDLED, read_model
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError

KerasModel = Any
"""A `keras.Model` of the edge family; Keras ships no types."""

_LEAST_AGREEMENT = 0.9
"""Fraction of images on which network and file must agree; int8 rounding changes a few in a hundred."""


def warm_start(
    model: KerasModel, start: Path, folder: Path, class_names: tuple[str, ...], pictures: NDArray[np.uint8]
) -> None:
    """Copy the weights of a run or an exported file of the same architecture into a model.

    Args:
        model: a built `keras.Model` of the edge family, named as its architecture.
        start: a run folder, an `.onnx` file, or the name of a bundled model; for pictures as large as the
            model's, or a whole number of times smaller.
        folder: run folder of this training.
        class_names: in the order of the model's outputs.
        pictures: (N, height, width, channels) uint8 to be trained on; they stand for what an export has
            folded away.

    Raises:
        DataError: `start` is no run, or `folder` itself, or has another architecture, other classes or an
            input size that does not divide the model's, or its weights cannot be read.
        ModelError: `start` is a file that is missing or refused.
    """
    if not start.is_dir() and (str(start) in BUNDLED or start.suffix == ".onnx"):
        _from_file(model, start, class_names, pictures)
    else:
        _from_run(model, start, folder, class_names)


def _from_run(model: KerasModel, start: Path, folder: Path, class_names: tuple[str, ...]) -> None:
    run = runs.Run.load(start)
    if start.resolve() == folder.resolve():
        raise DataError(
            f"{start} cannot be both the initial weights and the output: give another folder with -o"
        )
    if (run.architecture, run.class_names) != (model.name, class_names):
        raise DataError(
            f"{start} is a run of {run.architecture} with the classes {', '.join(run.class_names)}: "
            f"init_from needs a run of {model.name} with the classes of the data"
        )
    _require_size(start, InputSpec(*run.input_shape), model)
    try:
        archive_limits.check(start / run.model)
        keras = import_keras()  # first: its own memory does not count
        with archive_limits.limited(start / run.model):
            kept = keras.saving.load_model(start / run.model, compile=False).get_weights()
        model.set_weights([_finer(kept[0], model.weights[0].shape), *kept[1:]])
    except Exception as error:  # Keras raises whatever its layers raise
        raise DataError(
            f"cannot initialise from {start}: its weights are damaged or of an older network ({error}). Train it again"
        ) from error


def _from_file(
    model: KerasModel, start: Path, class_names: tuple[str, ...], pictures: NDArray[np.uint8]
) -> None:
    data = read_model(str(start))
    classifier = Classifier.from_bytes(data)
    if classifier.passport.labels != class_names:
        raise DataError(
            f"{start} has the classes {', '.join(classifier.passport.labels)}: to initialise from it, "
            f"train {model.name} on the same classes"
        )
    mismatch = DataError(
        f"{start} is not a current {model.name} network: give a file of the same member of the edge family"
    )
    theirs = classifier.passport.input
    _require_size(start, theirs, model)
    try:
        found = weights.read_weights(data)
    except Exception:  # noqa: BLE001  # another network may have any layers
        raise mismatch from None
    found[:1] = [(_finer(kernel, model.weights[0].shape), bias) for kernel, bias in found[:1]]
    if not _fill(model, found):
        raise mismatch
    scaled = pictures.astype(np.float32) / np.float32(255)
    _measure(model, scaled)
    answers = model.predict(scaled, batch_size=500, verbose=0)
    if flip_ensemble.is_flip_ensemble(data):
        answers = answers + model.predict(scaled[:, :, ::-1], batch_size=500, verbose=0)
    right = classifier.probabilities(datasets.resized(pictures, theirs)).argmax(axis=1)
    if np.mean(answers.argmax(axis=1) == right) < _LEAST_AGREEMENT:
        raise mismatch


def _require_size(start: Path, theirs: InputSpec, model: KerasModel) -> None:
    own = InputSpec(*model.input_shape[1:])
    if own.shape != theirs.shape and not datasets.is_multiple(own, theirs):
        raise DataError(
            f"{start} takes images of {theirs.height}x{theirs.width}, and those to train on have {own.height}x{own.width}: "
            f"give --size {theirs.height}, beside a recipe --set size={theirs.height}"
        )


def _finer(kernel: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the first convolution's kernel for a larger input, each weight spread over its pixels."""
    times = shape[0] // kernel.shape[0]
    if times < 2 or shape != (times * kernel.shape[0], times * kernel.shape[1], *kernel.shape[2:]):  # noqa: PLR2004  # twice as many or more
        return kernel
    return kernel.repeat(times, axis=0).repeat(times, axis=1) / np.float32(times**2)


def _normalisations(model: KerasModel) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, import_keras().layers.BatchNormalization)]


def _fill(model: KerasModel, kept: list[weights.Weights]) -> bool:
    """Copy kernels and biases, with normalisations that only add the bias; return whether all fit.

    Of layers of one shape the first in the file is the first in the network: both go from the picture to the
    answer.
    """
    normalised = {layer.input.name: layer for layer in _normalisations(model)}
    for layer in [layer for layer in model.layers if layer.weights and layer not in normalised.values()]:
        shape = tuple(layer.weights[0].shape)
        index = next((i for i, (kernel, _) in enumerate(kept) if kernel.shape == shape), None)
        if index is None:
            return False
        kernel, bias = kept.pop(index)
        if layer.use_bias:
            layer.set_weights([kernel, bias])
            continue
        following = normalised[layer.output.name]
        layer.set_weights([kernel])
        none = np.zeros_like(bias)
        following.set_weights([np.full_like(bias, np.sqrt(1 + following.epsilon)), bias, none, none + 1])
    return not kept


def _measure(model: KerasModel, scaled: NDArray[np.float32]) -> None:
    """Set the batch statistics of each normalisation, and scale and offset that keep the output."""
    layers = _normalisations(model)
    seen = import_keras().Model(model.inputs, [layer.input for layer in layers])
    for layer, values in zip(layers, seen.predict(scaled, batch_size=500, verbose=0), strict=True):
        bias = layer.get_weights()[1]
        mean, variance = (
            np.asarray(of(values, axis=(0, 1, 2), dtype=np.float64), np.float32) for of in (np.mean, np.var)
        )
        layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])
