"""Quantise statically to int8: uint8 activations, int8 weights per channel, QDQ pairs.

The settings are the outcome of measurements (docs/decisions/0003-int8-recipe.md). Weights use seven of their
eight bits: a processor without VNNI adds pairs of products in 16 bits, which would saturate, so that the same
file would answer differently, and worse, than on one with VNNI or on ARM.
"""

import contextlib
import io
import logging
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto, add_constant, drop_unused, fixed_batch
from edge_fm_exporters.quantization import bias_correction, effort, mse_calibration, sum_scales
from edge_fm_exporters.quantization import float_stem as float_stem_module
from edge_fm_runtime.artifact.session import INPUT

_QUANTISED = (
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Reshape",
    "Flatten",
    "Transpose",
    "Relu",
    "Clip",
    "Concat",
)

WEIGHTED = {"Conv", "Gemm", "MatMul"}


class Calibration(StrEnum):
    """Method that finds the range of an activation on the calibration images."""

    MINMAX = "MinMax"  # all of it
    MSE = "MSE"  # the part with the least mean squared error: `mse_calibration.py`
    PERCENTILE = "Percentile"  # all but a hundred-thousandth at either end


@dataclass(frozen=True)
class QuantizationSettings:
    """One way of quantising.

    Attributes:
        calibration: how ranges are found.
        float_stem: whether the first convolution stays in float, at its speed there.
        float_nodes: other nodes that stay in float.
        images: how many images set the ranges, at most.
    """

    calibration: Calibration = Calibration.MINMAX
    float_stem: bool = False
    float_nodes: tuple[str, ...] = ()
    images: int = effort.CALIBRATION_IMAGES

    @property
    def name(self) -> str:
        """For a table."""
        stem = ", float stem" if self.float_stem else ""
        nodes = f", {', '.join(self.float_nodes)} in float" if self.float_nodes else ""
        return f"int8 {self.calibration}{stem}{nodes}"

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """As the passport records them."""
        return (
            ("format", "QDQ"),
            ("activations", "uint8"),
            ("weights", "int8 in [-64, 64], per channel"),
            ("logits", "float32"),
            ("calibration", str(self.calibration)),
            ("calibration_images", str(self.images)),
            ("biases", "corrected"),
            ("first_convolution", "float32" if self.float_stem else "int8"),
            ("float_nodes", " ".join(self.float_nodes) or "none"),
        )


_USUAL = QuantizationSettings()


def quantize(
    model: ModelProto,
    images: NDArray[np.float32],
    recipe: QuantizationSettings = _USUAL,
    nodes: tuple[str, ...] = (),
) -> ModelProto:
    """Return a QDQ int8 model.

    Args:
        model: float32, input `image`.
        images: (N, height, width, channels) float32, scaled, from the training part.
        recipe: how.
        nodes: the only ones to quantise; empty for all.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batch = fixed_batch(model)
    images = images[: recipe.images]
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder, "prepared.onnx"), Path(folder, "quantized.onnx")
        # The library logs a warning on the root logger for what was just done.
        logging.disable(logging.WARNING)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the calibrators tell of each tensor
                quant_pre_process(model, prepared)
                # One batch after the other: else all activations of all images are held at once.
                extra: dict[str, Any] = (
                    {"CalibStridedMinMax": 1} if effort.in_batches(*images.shape[1:3]) else {}
                )
                method = recipe.calibration
                if method is Calibration.MSE:
                    kinds, batches = frozenset(_QUANTISED), Reader(images, batch).batches
                    found = mse_calibration.ranges(onnx.load(prepared), kinds, batches)
                    extra["TensorQuantOverrides"] = {
                        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
                        for name, (low, high) in found.items()
                    }
                    method = Calibration.MINMAX  # of the input, and of what the quantiser adds
                quantization.quantize_static(
                    prepared,
                    quantized,
                    Reader(images, batch),
                    quant_format=quantization.QuantFormat.QDQ,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    per_channel=True,
                    reduce_range=True,
                    calibrate_method=quantization.CalibrationMethod[method],
                    extra_options=extra,
                    nodes_to_quantize=list(nodes) or None,
                    nodes_to_exclude=[
                        *recipe.float_nodes,
                        *(float_stem_module.nodes(model) if recipe.float_stem else ()),
                    ],
                    op_types_to_quantize=list(_QUANTISED),
                )
        finally:
            logging.disable(logging.NOTSET)
        original = onnx.load(prepared)
        made = sum_scales.align(_with_float_logits(onnx.load(quantized), original))
        corrected = bias_correction.correct(made, original, Reader(images, batch).batches)
        return _kept_in_float(corrected, recipe.float_nodes)


def _with_float_logits(model: ModelProto, original: ModelProto) -> ModelProto:
    """Remove the last QDQ pair: 256 steps for all logits cost up to 0.25 points of accuracy.

    It stays where it does the work of a Relu or Clip: the library leaves those out that cut where its levels
    end anyway.
    """
    graph = model.graph
    cut = _cut(original) - _cut(model)
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    last = [node for node in quantizers if not _leads_to_quantizer(graph, node) and node.input[0] not in cut]
    after = [node for node in graph.node if len(last) == 1 and last[0].output[0] in node.input]
    if len(after) == 1 and after[0].op_type == "DequantizeLinear":
        for node in graph.node:
            node.input[:] = [last[0].input[0] if name == after[0].output[0] else name for name in node.input]
        graph.node.remove(after[0])
        graph.node.remove(last[0])
    return model


def _kept_in_float(model: ModelProto, names: tuple[str, ...]) -> ModelProto:
    """Have onnxruntime leave weighted layers in float.

    What it finds between a DequantizeLinear and a QuantizeLinear it quantises after all, when it opens the
    file and with all eight bits (its weight_bias_quantization.cc): without VNNI sums of those saturate. A
    product by two in front of half the weights is exact, and it does not look through that.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if (
            node.name not in names
            or node.op_type not in WEIGHTED
            or node.input[1] not in constants
            or not _leads_to_quantizer(graph, node)
        ):
            continue
        doubled, halves = f"{node.name}_doubled", f"{node.name}_halves"
        add_constant(model, halves, numpy_helper.to_array(constants[node.input[1]]) / np.float32(2))
        add_constant(model, f"{node.name}_two", np.float32(2))
        product = helper.make_node("Mul", [node.input[0], f"{node.name}_two"], [doubled], name=doubled)
        graph.node.insert(list(graph.node).index(node), product)
        node.input[0], node.input[1] = doubled, halves
    drop_unused(model)
    return model


def _cut(model: ModelProto) -> set[str]:
    """Return the tensors that a Relu or Clip makes."""
    return {node.output[0] for node in model.graph.node if node.op_type in {"Relu", "Clip"}}


def _leads_to_quantizer(graph: Any, node: Any) -> bool:  # noqa: ANN401  # onnx ships no types
    """Return whether a QuantizeLinear comes anywhere behind a node."""
    reached, waiting = set(), list(node.output)
    while waiting:
        name = waiting.pop()
        for reader in graph.node:
            if name in reader.input and reader.output[0] not in reached:
                if reader.op_type == "QuantizeLinear":
                    return True
                reached.add(reader.output[0])
                waiting += reader.output
    return False


class Reader:
    """Calibration reader with batches of one size: onnxruntime's histograms fail on a smaller one."""

    def __init__(self, images: NDArray[np.float32], batch: int | None = None) -> None:
        size = batch or min(effort.batch_size(*images.shape[1:3]), len(images))
        starts = range(0, len(images) - size + 1, size)
        self.batches = [images[start : start + size] for start in starts]
        self.set_range(0, len(self.batches))

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Return only these batches from here on."""
        self._left = iter(self.batches[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch as a session takes it, None when there are no more."""
        batch = next(self._left, None)
        return None if batch is None else {INPUT: batch}
