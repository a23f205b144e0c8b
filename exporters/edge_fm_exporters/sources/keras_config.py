"""A Keras configuration as data: read it, refuse what is no image classifier, bring it up to Keras 3.

Nothing is built here, and neither Keras nor TensorFlow is imported.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from edge_fm_exporters.sources import keras_classes as classes
from edge_fm_exporters.sources.input_layout import Shape
from edge_fm_runtime.errors import ModelError

Config = dict[str, Any]
"""Configuration of a layer: `class_name` and `config`."""

_MAX_CONFIG_BYTES = 16 * 2**20
_DROPPED = ("_initializer", "_regularizer", "_constraint")
_FLOATS = {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}
_HDF5 = b"\x89HDF\r\n\x1a\n"


class Container(StrEnum):
    """Container of a Keras file."""

    HDF5 = "h5"
    ZIP = "keras"


@dataclass(frozen=True)
class KerasConfig:
    """Configuration of a Keras file.

    Attributes:
        container: how the file holds it.
        network: the configuration of the network.
        training: of its training, such as its loss; empty if the file has none.
    """

    container: Container
    network: Config
    training: Config


def read(path: Path) -> KerasConfig:
    """Read the configuration of a `.keras` or `.h5` file, told apart by their content.

    Raises:
        ModelError: the file has no configuration, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            container = Container.HDF5 if file.read(len(_HDF5)) == _HDF5 else Container.ZIP
        network, training = _read_hdf5(path) if container is Container.HDF5 else _read_zip(path)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile, RecursionError) as error:
        raise ModelError(
            f"{path} is no whole Keras model ({_first_line(error)}): save it with model.save('name.keras')"
        ) from error
    if not isinstance(network, dict) or not isinstance(network.get("class_name"), str):
        raise ModelError(
            f"{path} has a configuration that is no network: save it with model.save('name.keras')"
        )
    return KerasConfig(container, network, training if isinstance(training, dict) else {})


def _read_hdf5(path: Path) -> tuple[Any, Any]:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise _weights_alone(path)
        return _parse(path, file.attrs["model_config"]), _parse(path, file.attrs.get("training_config", "{}"))


def _read_zip(path: Path) -> tuple[Any, Any]:
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise _weights_alone(path)
        if archive.getinfo("config.json").file_size > _MAX_CONFIG_BYTES:
            raise _too_large(path)
        network = _parse(path, archive.read("config.json"))
    return network, network.get("compile_config") if isinstance(network, dict) else {}


def _parse(path: Path, text: Any) -> Any:  # noqa: ANN401  # an attribute of any type
    if not isinstance(text, str | bytes):
        raise ModelError(
            f"{path} has a configuration of type {type(text).__name__}, expected text: save it with model.save('name.keras')"
        )
    if len(text) > _MAX_CONFIG_BYTES:
        raise _too_large(path)
    return json.loads(text)


def _too_large(path: Path) -> ModelError:
    return ModelError(f"{path} has a configuration of over {_MAX_CONFIG_BYTES:,} bytes, which no model needs")


def _weights_alone(path: Path) -> ModelError:
    return ModelError(
        f"{path} has weights but no network. Save a whole model in the program that trained it:\n"
        "  model = ...  # the lines that build the network\n"
        f"  model.load_weights({path.name!r})\n"
        f"  model.save({path.stem + '.keras'!r})"
    )


def check(path: Path, config: KerasConfig) -> None:
    """Refuse what runs code, what is unknown, and what is no classifier of images.

    Raises:
        ModelError: says what was found.
    """
    for layer in _nested(config.network):
        _check_class(path, layer)
    network = config.network
    for key, what in (("input_layers", "inputs"), ("output_layers", "outputs")):
        count = len(_endpoints(network, key))
        if count > 1:
            raise ModelError(f"{path} has {count} {what}, expected one: images in, class probabilities out")
    last = _last_layer(network)
    if last.get("class_name") in classes.IMAGES_OUT:
        raise ModelError(
            f"{path} ends in {last['class_name']}: it makes images, expected a classifier of images"
        )
    if _is_regressor(last, config.training):
        raise ModelError(
            f"{path} was trained with the loss {_loss(config.training)!r} and has a linear output: it predicts numbers, expected a "
            "classifier. If it is one, save it without its training: model.save(path, include_optimizer=False)"
        )


def _check_class(path: Path, layer: Config) -> None:
    name = layer["class_name"]
    config = layer.get("config")
    inner = config if isinstance(config, dict) else {}
    if name in classes.EXECUTABLE or name == "__lambda__":
        raise ModelError(
            f"{path} has a {name} layer {str(inner.get('name', ''))!r}, which can run any code, so it is not loaded. "
            "Build the network again with layers such as Rescaling instead, and load the weights into it"
        )
    if name in classes.SEQUENCES:
        raise ModelError(f"{path} has a layer {name}: it takes text, tokens or sound, expected images")
    if name in classes.TENSORFLOW_OPERATORS:
        operator = str(inner.get("function", inner.get("name", name)))
        if operator not in classes.HARMLESS_OPERATORS:
            raise ModelError(
                f"{path} computes {operator} in a layer {name}, which is not on the list of operators that are loaded. "
                "Build the network again from Keras layers, and load the weights into it"
            )
        return
    known = classes.CONTAINERS | classes.AUGMENTATION | classes.LAYERS | classes.IMAGES_OUT | classes.MARKERS
    if name == "function":
        name = _without_version(str(config))
        known = classes.ACTIVATIONS
    module = layer.get("module")
    foreign = isinstance(module, str) and module.split(".")[0] not in {
        "keras",
        "builtins",
        "tensorflow",
        "tf_keras",
    }
    if isinstance(module, str) and module.startswith("keras.src.ops."):
        return  # an operator of Keras' own, as `keras.ops` leaves in a functional network
    if name not in known or (foreign and name not in classes.ACTIVATIONS):
        raise custom_class(path, name)


def custom_class(path: Path, name: str) -> ModelError:
    """Return the error for a class whose code the file does not bring."""
    return ModelError(
        f"{path} has a class of your own, {name}, whose code a file does not bring. In the program that trained it, save "
        "it as layers: image = keras.Input((28, 28, 1)); keras.Model(image, model.call(image)).save('name.keras')"
    )


def input_shape(config: KerasConfig) -> Shape | None:
    """Return the input's shape with the batch axis; None where only the built network shows it."""
    layer: Any = config.network
    while isinstance(layer, dict):
        inner = layer.get("config")
        inner = inner if isinstance(inner, dict) else {"layers": inner}
        shape = inner.get("batch_shape") or inner.get("batch_input_shape") or inner.get("build_input_shape")
        if isinstance(shape, list):
            if all(length is None or (isinstance(length, int) and length > 0) for length in shape):
                return (None, *shape[1:])
            return None
        layers = inner.get("layers")
        layer = layers[0] if isinstance(layers, list) and layers else None
    return None


def upgrade(config: KerasConfig) -> tuple[Config, tuple[str, ...]]:
    """Return the network's configuration as Keras 3 reads it, and notes for the user.

    Initialisers, regularisers and constraints are left out, which a trained network does not need; so are
    augmentation layers and reduced precision.

    Raises:
        ModelError: a layer is quantised by Keras.
    """
    notes: dict[str, None] = {}
    return _upgraded_layer(config.network, notes), tuple(notes)


def _upgraded(value: Any, notes: dict[str, None]) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, list):
        return [_upgraded(item, notes) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")
    if name == "function":
        return _without_version(str(value.get("config")))
    if isinstance(name, str) and "config" in value:
        return _upgraded_layer(value, notes)
    return {key: _upgraded(item, notes) for key, item in value.items() if not key.endswith(_DROPPED)}


def _upgraded_layer(layer: Config, notes: dict[str, None]) -> Config:
    name, config = layer["class_name"], layer["config"]
    if name in classes.CONTAINERS:
        return _upgraded_container(layer, notes)
    if name in classes.MARKERS or not isinstance(config, dict):
        return {key: _upgraded(item, notes) for key, item in layer.items()}
    if name in classes.AUGMENTATION:
        notes["left out augmentation layers, which do nothing at inference"] = None
        return _identity(layer, notes)
    config = {key: _upgraded(item, notes) for key, item in config.items() if not key.endswith(_DROPPED)}
    _drop_dtype(config, notes)
    if name == "InputLayer":
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        config = {
            "batch_shape": [None, *shape[1:]] if isinstance(shape, list) else shape,
            "name": config.get("name"),
        }
    config.pop("batch_input_shape", None)
    if name == "DepthwiseConv2D":
        config.pop("groups", None)
    if name.startswith("BatchNormalization"):
        name = "BatchNormalization"
        axis = config.get("axis", -1)
        config["axis"] = axis[0] if isinstance(axis, list) and axis else axis
        for key in (
            "renorm",
            "renorm_momentum",
            "renorm_clipping",
            "fused",
            "virtual_batch_size",
            "adjustment",
            "synchronized",
        ):
            config.pop(key, None)
    if isinstance(activation := config.get("activation"), str):
        config["activation"] = _without_version(activation)
    kept = {key: _upgraded(item, notes) for key, item in layer.items() if key not in {"config", "class_name"}}
    if str(kept.get("module")).startswith(("tensorflow.", "tf_keras.")):
        kept |= {"module": "keras.layers", "registered_name": None}
    return {"class_name": name, "config": config, **kept}


def _upgraded_container(layer: Config, notes: dict[str, None]) -> Config:
    config = layer["config"] if isinstance(layer["config"], dict) else {"layers": layer["config"]}
    is_sequential = layer["class_name"] == "Sequential"
    layers = config.get("layers")
    if not isinstance(layers, list) or not all(isinstance(inner, dict) for inner in layers):
        raise ModelError("the configuration has no list of layers: save it with model.save('name.keras')")
    if is_sequential:
        layers = _with_input_layer(config, layers)
        layers = [inner for inner in layers if inner.get("class_name") not in classes.AUGMENTATION] or layers
    upgraded = {**config, "layers": [_upgraded(inner, notes) for inner in layers]}
    _drop_dtype(upgraded, notes)
    if not is_sequential:
        for key in ("input_layers", "output_layers"):
            ends = upgraded.get(key)
            if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
                upgraded[key] = ends[0]
    kept = {key: item for key, item in layer.items() if key not in {"config", "class_name", "compile_config"}}
    if "module" in kept:
        kept |= {
            "module": "keras" if is_sequential else "keras.src.models.functional",
            "registered_name": None,
        }
    return {"class_name": "Sequential" if is_sequential else "Functional", "config": upgraded, **kept}


def _with_input_layer(config: Config, layers: list[Config]) -> list[Config]:
    """Return a Sequential's layers, the first of them an InputLayer where the shape is known."""
    if not layers or layers[0].get("class_name") == "InputLayer":
        return layers
    first = layers[0].get("config")
    shape = first.get("batch_input_shape") if isinstance(first, dict) else None
    shape = shape or config.get("build_input_shape")
    if not isinstance(shape, list):
        return layers
    return [{"class_name": "InputLayer", "config": {"batch_shape": shape, "name": "edge_fm_input"}}, *layers]


def _identity(layer: Config, notes: dict[str, None]) -> Config:
    """Return a layer of the same name and connections that does nothing."""
    kept = {
        key: _upgraded(item, notes)
        for key, item in layer.items()
        if key in {"name", "inbound_nodes", "module", "build_config"}
    }
    name = layer["config"].get("name") if isinstance(layer["config"], dict) else None
    return {"class_name": "Activation", "config": {"name": name, "activation": "linear"}, **kept}


def _drop_dtype(config: Config, notes: dict[str, None]) -> None:
    """Drop a layer's dtype, so that it computes in float32."""
    policy = config.pop("dtype", None)
    inner = policy.get("config") if isinstance(policy, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else policy
    if not isinstance(name, str):
        return
    if name.startswith(("int8", "int4", "float8")):
        raise ModelError(
            f"the layer {str(config.get('name'))!r} is quantised by Keras ({name}): export the model from before model.quantize()"
        )
    if name in _FLOATS - {"float32", "float64"}:
        notes["is computed in float32, not in mixed precision"] = None


def _without_version(name: str) -> str:
    """Return an activation's name without the suffix of TensorFlow's own functions, as in `softmax_v2`."""
    return name.removesuffix("_v2") if name.removesuffix("_v2") in classes.ACTIVATIONS else name


def first_layers(config: Config) -> Iterator[Config]:
    """Yield the layers in order, containers opened, without augmentation and input layers."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(layers, list):
        if config.get("class_name") not in classes.AUGMENTATION | {"InputLayer"}:
            yield config
        return
    for layer in layers:
        if isinstance(layer, dict):
            yield from first_layers(layer)


def _nested(value: Any) -> Iterator[Config]:  # noqa: ANN401
    """Yield every dictionary with a `class_name` in a configuration but for what is left out."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        for key, item in value.items():
            if not key.endswith(_DROPPED) and key not in {"compile_config", "training_config"}:
                yield from _nested(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nested(item)


def _endpoints(network: Config, key: str) -> list[Any]:
    """Return the network's inputs or outputs, each as [layer, node, tensor]."""
    config = network.get("config")
    ends = config.get(key) if isinstance(config, dict) else None
    if isinstance(ends, dict):
        return list(ends.values())
    if not isinstance(ends, list):
        return []
    return ends if ends and isinstance(ends[0], list) else [ends]


def _last_layer(network: Config) -> Config:
    while True:
        config = network.get("config")
        layers = config.get("layers") if isinstance(config, dict) else config
        if network.get("class_name") not in classes.CONTAINERS or not isinstance(layers, list) or not layers:
            return network
        ends = _endpoints(network, "output_layers")
        name = ends[0][0] if len(ends) == 1 and isinstance(ends[0], list) and ends[0] else None
        named = [
            layer
            for layer in layers
            if isinstance(layer, dict) and (layer.get("name") == name and name is not None)
        ]
        last = named[-1] if named else layers[-1]
        if not isinstance(last, dict):
            return network
        network = last


def _loss(training: Config) -> str:
    loss = training.get("loss")
    if isinstance(loss, dict):
        config = loss.get("config")
        loss = config.get("name") if isinstance(config, dict) else config or loss.get("class_name")
    return str(loss or "")


def _is_regressor(last: Config, training: Config) -> bool:
    config = last.get("config")
    activation = config.get("activation", "linear") if isinstance(config, dict) else ""
    return (
        last.get("class_name") == "Dense"
        and (activation is None or activation == "linear")
        and _loss(training).lower() in classes.REGRESSION_LOSSES
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
