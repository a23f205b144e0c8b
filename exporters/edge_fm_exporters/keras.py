"""Keras as a source: `.keras` and `.h5` files, read without running any code that they bring."""

import importlib.metadata
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.source import SourceModel
from edge_fm_runtime.errors import ExportError, ModelError
from edge_fm_runtime.passport import InputSpec
from edge_fm_runtime.session import INPUT, OUTPUT

SUFFIXES = (".keras", ".h5")

_EXECUTABLE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_MAX_CONFIG_BYTES = 16 * 2**20
_TESTED = {"keras": "3.15.1", "tensorflow": "2.21.0", "tf2onnx": "1.17.0", "onnx": "1.23.2"}
_IMAGE_RANK = 4
_MIN_CLASSES = 2


def load(path: Path) -> SourceModel:
    """Read a Keras model for export.

    Args:
        path: a `.keras` or `.h5` file.

    Raises:
        ModelError: it is missing, no Keras model, brings executable layers, or is no image classifier.
    """
    if not path.is_file():
        raise ModelError(f"there is no model {str(path)!r}: give a run folder, or a .keras or .h5 file")
    _refuse_executable(path)
    keras = import_keras()
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise
        raise ModelError(
            f"{path} cannot be read as a Keras model ({_first_line(error)}); {_versions()}"
        ) from error
    spec, classes = _image_classifier(path, model)

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(model.predict(images, batch_size=500, verbose=0), np.float32)

    def convert(opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        return _convert(model, spec, opset)

    tools = tuple((name, importlib.metadata.version(name)) for name in _TESTED)
    return SourceModel(path, spec, classes, predict, convert, tools)


def _refuse_executable(path: Path) -> None:
    """Refuse layers that carry code before Keras sees the file."""
    for name, layer in _layers(_config(path)):
        if name in _EXECUTABLE:
            raise ModelError(
                f"{path} has a {name} layer {layer!r}, which can run any code, so it is not loaded. "
                "Build the network again with layers such as Rescaling instead, and load the weights into it"
            )


def _config(path: Path) -> Any:  # noqa: ANN401  # JSON
    try:
        if path.suffix == ".h5":
            import h5py

            with h5py.File(path) as file:
                return json.loads(file.attrs["model_config"])
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MAX_CONFIG_BYTES:
                raise ModelError(
                    f"{path} has a configuration of over {_MAX_CONFIG_BYTES:,} bytes, which no model needs"
                )
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise ModelError(
            f"{path} is no whole Keras model ({_first_line(error)}): save it with model.save('name.keras')"
        ) from error


def _layers(config: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield (class name, layer name) of everything in a configuration."""
    if isinstance(config, dict):
        name = config.get("class_name")
        if isinstance(name, str):
            inner = config.get("config")
            yield name, str(inner.get("name", "")) if isinstance(inner, dict) else ""
        for value in config.values():
            yield from _layers(value)
    elif isinstance(config, list):
        for value in config:
            yield from _layers(value)


def _image_classifier(path: Path, model: Any) -> tuple[InputSpec, int]:  # noqa: ANN401
    given, answered = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not isinstance(given, tuple) or len(given) != _IMAGE_RANK or None in given[1:]:
        raise ModelError(f"{path} takes {given}, expected one picture (None, height, width, 1 or 3)")
    if not isinstance(answered, tuple) or len(answered) != 2 or (answered[1] or 0) < _MIN_CLASSES:  # noqa: PLR2004
        raise ModelError(f"{path} answers {answered}, expected (None, classes) with at least two classes")
    return InputSpec(*given[1:]), int(answered[1])


def _convert(model: Any, spec: InputSpec, opset: int) -> Any:  # noqa: ANN401
    """Convert through a tf.function: `tf2onnx.convert.from_keras` fails with Keras 3."""
    import tensorflow as tf
    import tf2onnx

    function = tf.function(lambda image: tf.identity(model(image, training=False), name=OUTPUT))
    signature = [tf.TensorSpec((None, *spec.shape), tf.float32, name=INPUT)]
    try:
        proto, _ = tf2onnx.convert.from_function(function, signature, opset=opset)
    except Exception as error:  # tf2onnx and TensorFlow raise whatever they meet
        raise ExportError(f"the conversion to ONNX failed ({_first_line(error)}); {_versions()}") from error
    return proto


def _versions() -> str:
    here = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _TESTED)
    tested = ", ".join(f"{name} {version}" for name, version in _TESTED.items())
    return f"installed are {here}; tested are {tested}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
