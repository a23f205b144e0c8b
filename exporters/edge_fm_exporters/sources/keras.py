"""Keras as a source: `.keras` and `.h5` files of Keras 2 and 3, read without running their code."""

import json
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras, import_tf_keras, installed, versions
from edge_fm_exporters.sources import archive_limits, keras_config
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import Shape, input_layout
from edge_fm_exporters.sources.input_scaling import raw_pixels_note
from edge_fm_exporters.sources.keras_config import Config, Container, KerasConfig
from edge_fm_exporters.sources.keras_recipe import TrainingRecipe, training_recipe
from edge_fm_exporters.sources.network import Network, as_classifier
from edge_fm_exporters.sources.tensorflow_graph import TESTED, TensorFlowNetwork
from edge_fm_runtime.errors import ExportError, ModelError


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a Keras model for export.

    Args:
        path: a `.keras`, `.h5` or `.hdf5` file; its content decides.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it is missing, no Keras model, brings executable layers, or is no image classifier.
    """
    if not path.is_file():
        raise ModelError(f"there is no model {str(path)!r}: give a run folder, or a .keras or .h5 file")
    archive_limits.check(path)
    config = keras_config.read(path)
    try:
        keras_config.check(path, config)
        shape = keras_config.input_shape(config)
        upgraded, notes = keras_config.upgrade(config)
    except RecursionError as error:
        raise ModelError(f"{path} has layers nested too deeply, which no model needs") from error
    if shape is not None:
        input_layout(path, shape, size)  # refuse before TensorFlow is imported, which takes seconds
    import_keras()  # first: its own memory does not count
    with archive_limits.limited(path):
        return _classifier(path, config, (upgraded, notes), size)


def _classifier(
    path: Path, config: KerasConfig, upgrade: tuple[Config, tuple[str, ...]], size: tuple[int, int] | None
) -> SourceModel:
    """Build the network and return it as a classifier, which runs it a first time."""
    upgraded, notes = upgrade
    model = _build(path, config, upgraded)
    run, convert = _computation(model, _shape(path, model, "input"))
    is_keras_3 = isinstance(model, import_keras().Model)
    raw = raw_pixels_note(model)
    recipe = TrainingRecipe("raw", None, (raw,)) if raw else training_recipe(config.network)
    return as_classifier(
        Network(
            path=path,
            input_shape=_shape(path, model, "input"),
            output_shape=_shape(path, model, "output"),
            run=run,
            run_float64=(lambda batch: _run_float64(path, config, upgraded, batch)) if is_keras_3 else None,
            convert=convert,
            tools=installed(TESTED),
            notes=(*notes, *recipe.notes),
            scale=recipe.scale,
            fit=recipe.fit,
            interpolation=recipe.interpolation,
        ),
        size,
    )


def _run_float64(
    path: Path, config: KerasConfig, upgraded: Config, batch: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the outputs of the network built anew in float64, which its configuration leaves open."""
    keras = import_keras()
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = _load(keras, path, config.container, upgraded)
        return np.asarray(model.predict_on_batch(batch.astype(np.float64)), np.float32)
    finally:
        keras.config.set_dtype_policy(usual)


def _computation(
    model: Any,  # noqa: ANN401  # Keras ships no types
    shape: Shape,
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], Callable[[int], Any]]:
    """Return what runs the network, and what converts it, which only TensorFlow's backend can."""
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        return lambda batch: np.asarray(model.predict_on_batch(batch), np.float32), _refuse_conversion
    layers = [layer.name for layer in model._flatten_layers()]  # noqa: SLF001  # the only way to inner layers
    network = TensorFlowNetwork(lambda image: model(image, training=False), shape, layers)

    def convert(opset: int) -> Any:  # noqa: ANN401
        return (
            network.convert(opset) if keras.backend.backend() == "tensorflow" else _refuse_conversion(opset)
        )

    return network.run, convert


def _refuse_conversion(_opset: int) -> Any:  # noqa: ANN401
    raise ExportError(
        f"Keras runs on {import_keras().backend.backend()} here, and its models are converted on TensorFlow: set "
        "KERAS_BACKEND=tensorflow and begin anew"
    )


def _build(path: Path, config: KerasConfig, upgraded: Config) -> Any:  # noqa: ANN401  # Keras ships no types
    """Build the network from its upgraded configuration and load the weights.

    Files of Keras 2 that Keras 3 cannot read go through tf-keras.

    Raises:
        ModelError: neither can.
    """
    try:
        return _load(import_keras(), path, config.container, upgraded)
    except Exception as error:  # Keras raises whatever its layers raise
        tf_keras = import_tf_keras()
        if tf_keras is not None:
            try:
                return _load(tf_keras, path, config.container, config.network)
            except Exception as second:  # noqa: BLE001  # the first error is the one to report
                error.add_note(str(second))
        raise ModelError(_unreadable(path, error)) from error


def _load(
    keras: Any,  # noqa: ANN401
    path: Path,
    container: Container,
    network: Config,
) -> Any:  # noqa: ANN401
    """Load a copy of the file with this configuration."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the file was trained with
        copy = Path(folder) / f"model.{container.value}"
        _write_copy(path, copy, container, network)
        return keras.models.load_model(copy, compile=False, safe_mode=True)


def _write_copy(path: Path, copy: Path, container: Container, network: Config) -> None:
    """Write the file with another configuration, and without what belongs to its training."""
    text = json.dumps(network)
    if container is Container.ZIP:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
            for name in {"metadata.json", "model.weights.h5"} & set(source.namelist()):
                target.writestr(name, source.read(name))
            target.writestr("config.json", text)
        return
    import h5py

    with h5py.File(path) as source, h5py.File(copy, "w") as target:
        for name, value in source.attrs.items():
            if name not in {"model_config", "training_config"}:
                target.attrs[name] = value
        target.attrs["model_config"] = text
        if "model_weights" in source:
            source.copy("model_weights", target)


def _shape(path: Path, model: Any, end: str) -> tuple[int | None, ...]:  # noqa: ANN401
    shape = getattr(model, f"{end}_shape", None)
    if isinstance(shape, list) and len(shape) == 1:
        shape = shape[0]
    if not isinstance(shape, tuple) or not all(length is None or isinstance(length, int) for length in shape):
        raise ModelError(
            f"{path} has the {end} {shape}, expected one tensor: images in, class probabilities out"
        )
    return (None, *shape[1:])


def _unreadable(path: Path, error: Exception) -> str:
    own = re.search(
        r"Could not locate class '([^']+)'|Unknown (?:layer|object): '?([A-Za-z0-9_>]+)", str(error)
    )
    if own is not None:
        return str(keras_config.custom_class(path, own.group(1) or own.group(2)))
    return f"{path} cannot be read as a Keras model ({_first_line(error)}); {versions(TESTED)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
