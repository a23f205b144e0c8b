"""Networks that Google's Teachable Machine made, told by their structure."""

from edge_fm_exporters.sources.keras_config import Config
from edge_fm_runtime.artifact.input_spec import Fit

SCALE = "symmetric"
"""Scale of its pixels, as in `--scale`; its sample code computes x / 127.5 - 1."""

FIT = Fit.CROP
"""Fit of its images; its sample code cuts out the centre (Pillow's ImageOps.fit)."""

NOTE = "was made by Teachable Machine: RGB, centre crop, pixels in [-1, 1]"


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
