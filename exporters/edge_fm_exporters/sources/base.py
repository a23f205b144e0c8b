"""The model that every source format returns."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Interpolation, Polarity


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
        max_difference: largest difference of a probability that its float32 export may show.
        rounding: largest difference of a probability that its own int8 arithmetic makes; 0 for none.
        calibrated: whether its probabilities are meant as such, and not made from votes.
        names: of its classes, where it knows them.
        notes: what was recognised or changed, each a line for the user.
        quantizable: nodes of the cleaned graph that int8 is for; empty for all.
        float_nodes: nodes of the cleaned graph that stay in float32 in any case.
        scale: scale of its pixels in training as in `--scale`, where its structure shows it; else empty.
        fit: how its training brought images to its size, where its structure shows it; else None.
        interpolation: filter that shrank them.
        polarity: polarity of its training images, where its structure shows it; else None.
        predict_float64: as `predict`, computed in float64; None where the framework cannot.
    """

    path: Path
    spec: InputSpec
    classes: int
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    convert: Callable[[int], Any]
    tools: tuple[tuple[str, str], ...]
    max_difference: float = 1e-5
    rounding: float = 0.0
    calibrated: bool = True
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quantizable: tuple[str, ...] = ()
    float_nodes: tuple[str, ...] = ()
    scale: str = ""
    fit: Fit | None = None
    interpolation: Interpolation = Interpolation.AREA
    polarity: Polarity | None = None
    predict_float64: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
