"""Pretrained backbones of the transfer models: networks that turn an image into features."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_fm.models import efficientnet_lite
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.passport import Precision, PrecisionKind
from edge_fm_runtime.errors import DataError

WHOLE, SMALL = "transfer", "transfer-small"

SIZES = {WHOLE: 224, SMALL: 128}
"""Height and width of the input in pixels, unless another size is given."""

LICENCE = "Apache-2.0"

FLOAT_NODES = ("globalaveragepool_1", "gemm_1")
"""Nodes behind the last convolution, as an export names them: in int8 a third of the labels changed.

Features are standardised, and those of a small deviation get weights a hundred times as large as others'."""

PRETRAINED = Path(__file__).parent / "pretrained"
"""The bundled backbone, with its licence; `benchmarks/transfer_backbone.py` makes it."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without a head.

    Attributes:
        name: `transfer` or `transfer-small`.
        data: an ONNX model from `image`, (N, height, width, 3) uint8 RGB, to `features`, float32.
        spec: its input.
        features: how many features an image has.
        precision: number format of its weights and activations.
        source: the file that it comes from, if it is bundled.
    """

    name: str
    data: bytes
    spec: InputSpec
    features: int
    precision: Precision
    source: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def load(name: str, size: int | None = None) -> Backbone:
    """Return a backbone.

    Args:
        name: `transfer` for the whole EfficientNet-Lite0 in float32, from the extra of that name;
            `transfer-small` for the bundled int8 file, cut behind its block 10.
        size: height and width in pixels; None for the usual ones.

    Raises:
        DataError: the weights are not installed, or the backbone cannot have that size.
        ModelError: the installed weights are others.
    """
    size = SIZES[name] if size is None else size
    spec = InputSpec(size, size, 3)
    if name == WHOLE:
        efficientnet_lite.check_size(size)
        data = efficientnet_lite.build(efficientnet_lite.load_weights(), size)
        return Backbone(name, data, spec, efficientnet_lite.WHOLE_FEATURES, Precision())
    if size != SIZES[SMALL]:
        raise DataError(
            f"{SMALL} takes images of {SIZES[SMALL]} pixels, and --size is {size}: leave it out, or give --model {WHOLE}"
        )
    file = PRETRAINED / f"{SMALL}.onnx"
    settings = (("backbone", "int8 (QDQ), first convolutions float32"), ("head", "float32"))
    precision = Precision(PrecisionKind.INT8, settings)
    return Backbone(name, file.read_bytes(), spec, efficientnet_lite.CUT_FEATURES, precision, file)
