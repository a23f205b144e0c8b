"""Keras as a source: `.keras` and `.h5` files, read without running any code that they bring."""

import json
import re
import zipfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras, installed, versions
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT, OUTPUT
from edge_fm_runtime.errors import ExportError, ModelError

_EXECUTABLE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_MAX_CONFIG_BYTES = 16 * 2**20
_TESTED = {"keras": "3.15.1", "tensorflow": "2.21.0", "tf2onnx": "1.17.0", "onnx": "1.23.2"}
_IMAGE_RANK = 4
_MIN_CLASSES = 2
_NOISE = 32
_NEARLY = 1e-3


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
        raise ModelError(_unreadable(path, error)) from error
    spec, outputs = _image_classifier(path, model)
    halved = _in_float32(model)
    ending = _output_activation(model, spec, outputs)

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        answers = np.asarray(model.predict(images, batch_size=500, verbose=0), np.float32)
        return np.asarray(ending.apply(keras.ops.convert_to_tensor(answers), keras.ops), np.float32)

    def convert(opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        return _convert(model, spec, opset, ending)

    tools = installed(_TESTED)
    notes = tuple(text for text in (ending.description, halved) if text)
    return SourceModel(path, spec, max(outputs, _MIN_CLASSES), predict, convert, tools, notes=notes)


class OutputActivation(StrEnum):
    """Kind of a network's outputs, which decides how they become probabilities."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    SIGMOIDS = "sigmoids"  # one for each class
    SIGMOID = "sigmoid"  # one output, of the second of two classes
    LOGIT = "logit"  # the same before its sigmoid

    @property
    def description(self) -> str:
        """Description of the added activation; empty if none."""
        return {
            OutputActivation.PROBABILITIES: "",
            OutputActivation.LOGITS: "a softmax was added: the network ends in logits",
            OutputActivation.SIGMOIDS: "its sigmoids were made to sum to one",
            OutputActivation.SIGMOID: "its one sigmoid was made two classes' probabilities",
            OutputActivation.LOGIT: "a sigmoid was added and made two classes' probabilities",
        }[self]

    def apply(self, outputs: Any, ops: Any) -> Any:  # noqa: ANN401  # a tensor, and `keras.ops`
        """Return probabilities."""
        if self is OutputActivation.LOGITS:
            return ops.softmax(outputs, axis=-1)
        if self is OutputActivation.SIGMOIDS:
            return outputs / ops.sum(outputs, axis=-1, keepdims=True)
        if self is OutputActivation.LOGIT:
            outputs = ops.sigmoid(outputs)
        if self in {OutputActivation.SIGMOID, OutputActivation.LOGIT}:
            return ops.concatenate([1 - outputs, outputs], axis=-1)
        return outputs


def _output_activation(model: Any, spec: InputSpec, outputs: int) -> OutputActivation:  # noqa: ANN401
    """Find out by the numbers what the outputs are: on noise, dark and bright, in either scale."""
    rng = np.random.default_rng(0)
    noise = rng.random((_NOISE, *spec.shape), np.float32)
    pictures = np.concatenate([noise, noise * 255, np.zeros_like(noise[:1])])
    answers = np.asarray(model.predict(pictures, batch_size=500, verbose=0), np.float64)
    inside = bool((answers >= 0).all() and (answers <= 1 + _NEARLY).all())
    if outputs == 1:
        return OutputActivation.SIGMOID if inside else OutputActivation.LOGIT
    if inside and np.abs(answers.sum(axis=1) - 1).max() < _NEARLY:
        return OutputActivation.PROBABILITIES
    return OutputActivation.SIGMOIDS if inside else OutputActivation.LOGITS


def _in_float32(model: Any) -> str:  # noqa: ANN401
    """Let every layer compute in float32, as its file will; return that in words if any did not."""
    changed = False
    for layer in model._flatten_layers():  # noqa: SLF001  # the only way to the layers inside layers
        if layer.compute_dtype != "float32" and layer.variable_dtype == "float32":
            layer.dtype_policy = "float32"
            changed = True
    return "it is computed in float32, not in mixed precision" if changed else ""


def _unreadable(path: Path, error: Exception) -> str:
    own = re.search(
        r"Could not locate class '([^']+)'|Unknown (?:layer|object): '?([A-Za-z0-9_>]+)", str(error)
    )
    if own is not None:
        name = own.group(1) or own.group(2)
        return (
            f"{path} has a class of your own, {name}, whose code a file does not bring. In the program that trained it, save "
            "it as layers: image = keras.Input((28, 28, 1)); keras.Model(image, model.call(image)).save('name.keras')"
        )
    return f"{path} cannot be read as a Keras model ({_first_line(error)}); {versions(_TESTED)}"


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
    if not isinstance(given, tuple) or len(given) != _IMAGE_RANK:
        raise ModelError(f"{path} takes {given}, expected pictures (None, height, width, 1 or 3)")
    if None in given[1:]:
        raise ModelError(
            f"{path} takes {given}, expected a fixed height and width: save it with an Input of the size that it was trained on"
        )
    if given[3] not in {1, 3}:
        raise ModelError(f"{path} takes {given}, expected pictures of 1 or 3 channels, channels last")
    if not isinstance(answered, tuple) or len(answered) != 2 or not answered[1]:  # noqa: PLR2004
        raise ModelError(f"{path} answers {answered}, expected (None, classes): one row for each picture")
    return InputSpec(*given[1:]), int(answered[1])


def _convert(
    model: Any,  # noqa: ANN401
    spec: InputSpec,
    opset: int,
    ending: OutputActivation = OutputActivation.PROBABILITIES,
) -> Any:  # noqa: ANN401
    """Convert through a tf.function: `tf2onnx.convert.from_keras` fails with Keras 3.

    Raises:
        ExportError: Keras runs on another backend, or the conversion fails.
    """
    keras = import_keras()
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ExportError(
            f"Keras runs on {backend} here, and its models are converted on TensorFlow: set KERAS_BACKEND=tensorflow and begin anew"
        )
    import tensorflow as tf
    import tf2onnx

    function = tf.function(
        lambda image: tf.identity(ending.apply(model(image, training=False), keras.ops), name=OUTPUT)
    )
    signature = [tf.TensorSpec((None, *spec.shape), tf.float32, name=INPUT)]
    try:
        proto, _ = tf2onnx.convert.from_function(
            function, signature, opset=opset, custom_op_handlers={"Erfc": (_one_less_erf, [])}
        )
        _hold_captured(proto, function.get_concrete_function(*signature))
    except Exception as error:  # tf2onnx and TensorFlow raise whatever they meet
        raise ExportError(
            f"the conversion to ONNX failed ({_first_line(error)}); {versions(_TESTED)}"
        ) from error
    _refuse_unknown(proto, opset, {layer.name for layer in model._flatten_layers()})  # noqa: SLF001  # as above
    return proto


def _hold_captured(proto: Any, function: Any) -> None:  # noqa: ANN401
    """Turn tensors that tf2onnx took for inputs, such as a layer's mean, into constants."""
    from onnx import numpy_helper

    kept = {inner.name: outer for outer, inner in function.graph.captures}
    for value in [value for value in proto.graph.input if value.name in kept]:
        proto.graph.initializer.append(numpy_helper.from_array(kept[value.name].numpy(), value.name))
        proto.graph.input.remove(value)


def _one_less_erf(graph: Any, node: Any, name: str, _arguments: Any) -> None:  # noqa: ANN401  # tf2onnx ships no types
    """Write the complementary error function, which tf2onnx lacks and an exact GELU needs, as 1 - Erf."""
    node.type = "Erf"
    one = graph.make_const(f"{name}_one", np.float32(1)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], name=f"{name}_less", inputs=[one, node.output[0]])


def _refuse_unknown(proto: Any, opset: int, layers: set[str]) -> None:  # noqa: ANN401
    """Refuse operators that ONNX does not have, by the layer that they come from, with a way round.

    Raises:
        ExportError: there are some.
    """
    import onnx

    for node in proto.graph.node:
        if not onnx.defs.has(node.op_type, opset, node.domain):
            # A name is model/layer/operator; TensorFlow numbers the uses of a layer: bins_1 is the layer
            # bins.
            parts = [
                re.sub(r"_\d+$", "", part) if part not in layers else part for part in node.name.split("/")
            ]
            layer = next((part for part in reversed(parts) if part in layers), node.name)
            raise ExportError(
                f"the layer {layer!r} computes {node.op_type}, which ONNX (operator set {opset}) has no operator for. "
                "Take it out of the network and do its work on the pictures before training, or build the network "
                f"again with another layer in its place and load the weights into it; {versions(_TESTED)}"
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
