"""Training recipe of a Keras network, where its structure shows it: pixel scale and fit."""

from dataclasses import dataclass
from itertools import islice

from edge_fm_exporters.sources.input_scaling import FROM_BYTES
from edge_fm_exporters.sources.keras_config import Config, first_layers
from edge_fm_runtime.artifact.input_spec import Fit, Interpolation

SYMMETRIC = "symmetric"
"""Pixels in [-1, 1]."""

_FIRST_LAYERS = 3

_APPLICATIONS = {
    "mobilenetv2_": ("MobileNetV2", SYMMETRIC),
    "mobilenet_": ("MobileNet", SYMMETRIC),
    "xception": ("Xception", SYMMETRIC),
    "inception_v3": ("InceptionV3", SYMMETRIC),
    "inception_resnet_v2": ("InceptionResNetV2", SYMMETRIC),
    "nasnet": ("NASNet", SYMMETRIC),
    "resnet50v2": ("ResNet50V2", SYMMETRIC),
    "resnet101v2": ("ResNet101V2", SYMMETRIC),
    "resnet152v2": ("ResNet152V2", SYMMETRIC),
    "resnet": ("ResNet", "caffe"),
    "vgg": ("VGG", "caffe"),
    "densenet": ("DenseNet", "imagenet"),
}
"""Beginning of the name of a network of `keras.applications`, its family, and its `preprocess_input`.

The longer beginning comes first. Families whose networks rescale pixels themselves are not here.
"""

_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class TrainingRecipe:
    """Preparation of images for training.

    Attributes:
        scale: pixel scale as in `--scale`; empty if unknown.
        fit: how images were brought to the input's size; None if unknown.
        notes: what was recognised, each a line for the user.
        interpolation: filter that shrank images.
    """

    scale: str = ""
    fit: Fit | None = None
    notes: tuple[str, ...] = ()
    interpolation: Interpolation = Interpolation.AREA


TEACHABLE_MACHINE_RECIPE = TrainingRecipe(
    SYMMETRIC,
    Fit.CROP,
    ("was made by Teachable Machine: RGB, centre crop by Lanczos' filter, pixels in [-1, 1]",),
    Interpolation.LANCZOS,
)
"""What the Python code does that Teachable Machine shows beside a Keras export."""


def training_recipe(network: Config) -> TrainingRecipe:
    """Return what a network's structure shows of its training."""
    if is_teachable_machine(network):
        return TEACHABLE_MACHINE_RECIPE
    for layer in islice(first_layers(network), _FIRST_LAYERS):
        kind = layer.get("class_name")
        if kind == "Rescaling":
            return _rescaled(layer)
        if kind not in {"Reshape", "ZeroPadding2D", "Resizing", "CenterCrop"}:
            break
    return _of_application(network)


def _of_application(network: Config) -> TrainingRecipe:
    """Return the recipe of a whole network of `keras.applications`, or a note on one that is built on it.

    What people build on these networks is often trained on other pixels, such as those in [0, 1].
    """
    for container in (network, *_inner(network)):
        name = str(container.get("name") or _config(container).get("name", ""))
        begins = next((begin for begin in _APPLICATIONS if name.lower().startswith(begin)), None)
        if begins is None or container.get("class_name") not in {"Model", "Functional"}:
            continue
        family, scale = _APPLICATIONS[begins]
        last = (_inner(container) or [{}])[-1]
        if container is network and _config(last).get("units") == _IMAGENET_CLASSES:
            return TrainingRecipe(
                scale,
                None,
                (f"is {family} of keras.applications: pixels as its preprocess_input gives them",),
            )
        return TrainingRecipe(
            "",
            None,
            (f"is built on {family} of keras.applications, whose preprocess_input is --scale {scale}",),
        )
    return TrainingRecipe()


def _inner(container: Config) -> list[Config]:
    """Return the layers of a container, without input layers."""
    layers = _config(container).get("layers")
    return [
        layer
        for layer in (layers if isinstance(layers, list) else [])
        if isinstance(layer, dict) and layer.get("class_name") != "InputLayer"
    ]


def _config(layer: Config) -> Config:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _rescaled(layer: Config) -> TrainingRecipe:
    """Return the recipe that the factor of a Rescaling layer shows: a small one is for pixels in [0, 255]."""
    config = layer.get("config")
    factor = config.get("scale") if isinstance(config, dict) else None
    if not isinstance(factor, int | float) or abs(factor) >= FROM_BYTES:
        return TrainingRecipe()
    return TrainingRecipe("raw", None, ("begins with a Rescaling layer, so it takes pixels in [0, 255]",))


def is_teachable_machine(network: Config) -> bool:
    """Return whether it is a Sequential of (model, pooling) and (dense, dense without bias)."""
    parts = _layers(network, "Sequential")
    if len(parts) != 2:  # noqa: PLR2004
        return False
    base, head = _layers(parts[0], "Sequential"), _layers(parts[1], "Sequential")
    if [layer.get("class_name") for layer in head] != ["Dense", "Dense"] or len(base) != 2:  # noqa: PLR2004
        return False
    last = head[1].get("config")
    return (
        base[0].get("class_name") in {"Model", "Functional"}
        and str(base[1].get("class_name")).startswith("GlobalAveragePooling2D")
        and isinstance(last, dict)
        and last.get("use_bias") is False
        and last.get("activation") == "softmax"
    )


def _layers(config: Config, kind: str) -> list[Config]:
    """Return the layers of a container of this class without its input layer; empty if it is none."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if config.get("class_name") != kind or not isinstance(layers, list):
        return []
    return [layer for layer in layers if isinstance(layer, dict) and layer.get("class_name") != "InputLayer"]
