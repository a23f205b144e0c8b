"""What every source format gives to the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.passport import InputSpec


class Scale(StrEnum):
    """How a uint8 pixel becomes the number that the network was trained on."""

    UNIT = "unit"  # pixel / 255, in [0, 1]
    RAW = "raw"  # the pixel itself, in [0, 255]

    @property
    def factor(self) -> float:
        """What a pixel is multiplied by."""
        return 1 / 255 if self is Scale.UNIT else 1.0


@dataclass(frozen=True)
class SourceModel:
    """A trained classifier in the framework it came from.

    Attributes:
        path: the file it was read from.
        spec: its input.
        classes: how many outputs it has.
        predict: from (N, height, width, channels) float32, scaled, to (N, classes) float32 probabilities.
        convert: from an opset to an onnx.ModelProto with the float32 input `image` (N, height, width,
            channels), scaled, and the output `probabilities`.
        tools: (name, version) of what read and converts it.
    """

    path: Path
    spec: InputSpec
    classes: int
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    convert: Callable[[int], Any]
    tools: tuple[tuple[str, str], ...]
