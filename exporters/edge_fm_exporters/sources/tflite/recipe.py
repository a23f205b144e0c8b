"""Training recipe of a `.tflite` file, where its structure shows it: pixel scale and fit."""

import numpy as np

from edge_fm_exporters.sources.keras_recipe import SYMMETRIC, TrainingRecipe
from edge_fm_exporters.sources.tflite.model import Kind, LiteModel, Operator
from edge_fm_exporters.sources.tflite.pixels import pixel_scale
from edge_fm_runtime.artifact.input_spec import Fit

_TEACHABLE_CROP = "was made by Teachable Machine: centre crop"
_TEACHABLE_COLOUR = "was made by Teachable Machine: RGB, centre crop, pixels in [-1, 1]"
_TEACHABLE_GREY = "was made by Teachable Machine: grey, centre crop, pixels in [-1, 1]"
_TEACHABLE_SHAPES = {(224, 224, 3), (96, 96, 1)}
_TEACHABLE_END = [Kind.MEAN, Kind.FULLY_CONNECTED, Kind.FULLY_CONNECTED, Kind.SOFTMAX]
_TEACHABLE_UNITS = 100
_RELU = 1
_RANGES = {"unit": (0.0, 1.0), SYMMETRIC: (-1.0, 1.0), "raw": (0.0, 255.0)}
_NEARLY = 0.05
"""Share of its length by which a range may differ, since calibration saw few images."""


def training_recipe(model: LiteModel, shape: tuple[int, ...]) -> TrainingRecipe:
    """Return what a file's structure shows of its training.

    Args:
        model: the file.
        shape: of its input, with the batch axis.
    """
    is_teachable = shape[1:] in _TEACHABLE_SHAPES and _ends_as_teachable_machine(model)
    fit = Fit.CROP if is_teachable else None
    if pixel_scale(model.input) is not None:
        notes = (f"takes pixels as {np.dtype(model.input.dtype).name}, so it gets them as they are",)
        return TrainingRecipe("raw", fit, (*notes, *((_TEACHABLE_CROP,) if is_teachable else ())))
    if is_teachable:
        return TrainingRecipe(SYMMETRIC, fit, (_TEACHABLE_COLOUR if shape[3] > 1 else _TEACHABLE_GREY,))
    return _by_first_quantization(model)


def ends_in_softmax(model: LiteModel) -> bool:
    """Return whether the outputs are a softmax, quantised or reshaped after it or not."""
    kinds = [operator.kind for operator in model.operators]
    while kinds and kinds[-1] in {Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.RESHAPE}:
        kinds.pop()
    return kinds[-1:] == [Kind.SOFTMAX]


def _by_first_quantization(model: LiteModel) -> TrainingRecipe:
    """Return the scale that the range shows to which a quantised network brings its float input."""
    first = next(operator for operator in model.operators if model.input_index in operator.inputs)
    tensor = model.tensors[first.outputs[0]]
    if first.kind is not Kind.QUANTIZE or not tensor.is_quantized:
        return TrainingRecipe()
    low, high = ((end - float(tensor.zero_point[0])) * float(tensor.scale[0]) for end in tensor.limits)
    for scale, (least, most) in _RANGES.items():
        slack = _NEARLY * (most - least)
        if abs(low - least) <= slack and abs(high - most) <= slack:
            return TrainingRecipe(scale, None, (f"quantises its input from [{least:g}, {most:g}]",))
    return TrainingRecipe()


def _ends_as_teachable_machine(model: LiteModel) -> bool:
    """Return whether it ends in a mean, 100 units with a ReLU, and classes without a bias."""
    rest = [
        operator
        for operator in model.operators
        if operator.kind not in {Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.RESHAPE}
    ]
    end = rest[-len(_TEACHABLE_END) :]
    if [operator.kind for operator in end] != _TEACHABLE_END:
        return False
    _, units, classes, _ = end
    return (
        model.tensors[units.outputs[0]].shape[-1:] == (_TEACHABLE_UNITS,)
        and units.option(0, "b") == _RELU
        and not _has_bias(model, classes)
    )


def _has_bias(model: LiteModel, operator: Operator) -> bool:
    """Return whether a dense layer has a bias; converters to int8 write zeros for none."""
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1  # noqa: PLR2004
    return index >= 0 and bool(np.any(model.tensors[index].values()))
