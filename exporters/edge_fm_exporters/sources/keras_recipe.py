"""Training recipe of a Keras network, where its structure shows it: pixel scale and fit."""

from dataclasses import dataclass
from itertools import islice

from edge_fm_exporters.sources.input_scaling import FROM_BYTES
from edge_fm_exporters.sources.keras_config import Config, first_layers
from edge_fm_runtime.artifact.input_spec import Fit

SYMMETRIC = "symmetric"
"""Pixels in [-1, 1]."""

TEACHABLE_MACHINE = "was made by Teachable Machine: RGB, centre crop, pixels in [-1, 1]"

_FIRST_LAYERS = 3


@dataclass(frozen=True)
class TrainingRecipe:
    """Preparation of images for training.

    Attributes:
        scale: pixel scale as in `--scale`; empty if unknown.
        fit: how images were brought to the input's size; None if unknown.
        notes: what was recognised, each a line for the user.
    """

    scale: str = ""
    fit: Fit | None = None
    notes: tuple[str, ...] = ()


def training_recipe(network: Config) -> TrainingRecipe:
    """Return what a network's structure shows of its training."""
    if is_teachable_machine(network):
        return TrainingRecipe(SYMMETRIC, Fit.CROP, (TEACHABLE_MACHINE,))
    for layer in islice(first_layers(network), _FIRST_LAYERS):
        kind = layer.get("class_name")
        if kind == "Rescaling":
            return _rescaled(layer)
        if kind not in {"Reshape", "ZeroPadding2D", "Resizing", "CenterCrop"}:
            break
    return TrainingRecipe()


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
