"""TensorFlow Lite as a source: `.tflite` files in float32, float16 and int8, read as data."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import installed
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import Shape, input_layout
from edge_fm_exporters.sources.network import Network, as_classifier
from edge_fm_exporters.sources.tflite.conversion import convert
from edge_fm_exporters.sources.tflite.interpreter import Interpreter
from edge_fm_exporters.sources.tflite.model import LiteModel
from edge_fm_exporters.sources.tflite.reading import read
from edge_fm_exporters.sources.tflite.recipe import ends_in_softmax, training_recipe
from edge_fm_runtime.errors import ModelError

_TESTED = {"tensorflow": "2.21.0", "onnx": "1.23.2"}
_INPUTS = (np.float32, np.uint8, np.int8)
_MIN_OPSET = 17
_FLOAT_DIFFERENCE = 1e-4
"""Its kernels add in another order than onnxruntime's: a MobileNet's probabilities differ by 2e-5."""

_INT8_ROUNDING = 0.3
"""int8 MobileNets, run as such and dequantised, differ by up to 0.1 of a probability on 200 photographs."""

_SMALLEST_SUM = 1e-30

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a TensorFlow Lite model for export.

    Args:
        path: a `.tflite` file.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it is damaged, has operators that are not converted, or is no image classifier.
    """
    model = read(path)
    if model.input.dtype not in _INPUTS:
        raise ModelError(
            f"{path} takes {np.dtype(model.input.dtype).name}, expected images of float32, uint8 or int8"
        )
    shape: Shape = (None, *(None if length < 0 else length for length in model.input.signature[1:]))
    layout = input_layout(path, shape, size)  # refuse before TensorFlow is imported, which takes seconds
    fixed = (max(model.input.shape[0], 1), *(length or 1 for length in layout.shape[1:]))
    graph = convert(model, _MIN_OPSET, fixed)

    @functools.cache
    def interpreter() -> Interpreter:  # once the output is known to be one of classes
        return Interpreter(model, fixed)

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return interpreter().run(batch)

    recipe = training_recipe(model, fixed)
    return as_classifier(
        Network(
            path=path,
            input_shape=shape,
            output_shape=(None, *_lengths(graph.graph.output[0])[1:]),
            run=_as_distribution(run) if ends_in_softmax(model) else run,
            convert=lambda opset: convert(model, opset, fixed),
            tools=installed(_TESTED),
            notes=(*_precision(model), *recipe.notes),
            max_difference=_FLOAT_DIFFERENCE,
            rounding=_INT8_ROUNDING if model.has_quantized_weights else 0.0,
            scale=recipe.scale,
            fit=recipe.fit,
        ),
        size,
    )


def _lengths(value: Any) -> list[int]:  # noqa: ANN401  # onnx ships no types
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _as_distribution(run: Run) -> Run:
    """Return a function whose rows add up to one, which 8-bit ones do only nearly."""

    def normalised(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = run(batch)
        return np.asarray(outputs / np.maximum(outputs.sum(axis=-1, keepdims=True), _SMALLEST_SUM))

    return normalised


def _precision(model: LiteModel) -> tuple[str, ...]:
    """Return a note on the numbers that the file holds; none of float32."""
    if model.has_quantized_activations:
        return ("is int8; dequantised to float32, so labels can differ near ties",)
    if model.has_quantized_weights:
        return ("has int8 weights; dequantised to float32, so labels can differ near ties",)
    if any(tensor.dtype is np.float16 for tensor in model.tensors):
        return ("has float16 weights; made float32",)
    return ()
