"""A network as its file defines it, and the image classifier that is made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import Shape, input_layout
from edge_fm_exporters.sources.output_activation import output_activation
from edge_fm_runtime.artifact.input_spec import Fit, Interpolation, Polarity
from edge_fm_runtime.errors import ModelError

_MIN_CLASSES = 2
_BATCH_BYTES = 64 * 2**20
_MAX_BATCH = 500
_FIRST_BATCH = 2
"""Images at a time for the first answers, when nothing is known of the memory that they take."""


Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From a batch to outputs."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with one input and one output, as its framework runs it.

    Attributes:
        path: the file it was read from.
        input_shape: shape of its input, with the batch axis; None for an axis of any length.
        output_shape: shape of its output likewise.
        run: from a batch in the input's shape, float32, to its outputs.
        convert: from an opset to an ONNX model with one float32 input of that shape and one float32 output;
            its batch axis is free, or fixed where the network takes that many images only.
        tools: (name, version) of what read and converts it.
        names: of its classes, where its file has them.
        notes: what was recognised or changed, each a line for the user.
        max_difference: largest difference of a probability that its float32 export may show.
        rounding: largest difference of a probability that its own int8 arithmetic makes; 0 for none.
        scale: scale of its pixels in training as in `--scale`; empty if unknown.
        fit: how its training brought images to its size; None if unknown.
        interpolation: filter that shrank them.
        polarity: polarity of its training images; None if unknown.
        run_float64: as `run`, computed in float64; None where the framework cannot.
    """

    path: Path
    input_shape: Shape
    output_shape: Shape
    run: Run
    convert: Callable[[int], Any]
    tools: tuple[tuple[str, str], ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    max_difference: float = 1e-5
    rounding: float = 0.0
    scale: str = ""
    fit: Fit | None = None
    interpolation: Interpolation = Interpolation.AREA
    polarity: Polarity | None = None
    run_float64: Run | None = None


def as_classifier(network: Network, size: tuple[int, int] | None = None) -> SourceModel:
    """Return a network as a classifier of images (N, H, W, C) with probabilities (N, classes).

    Args:
        network: the network.
        size: height and width of its images, where its input leaves them open.

    Raises:
        ModelError: its input is no image, or its output is not one row of classes for each.
    """
    layout = input_layout(network.path, network.input_shape, size)
    outputs = output_length(network.path, network.output_shape)
    batch = max(1, min(_MAX_BATCH, _BATCH_BYTES // (4 * int(np.prod(layout.spec.shape)))))

    def in_batches(run: Run, images: NDArray[np.float32], batch: int = batch) -> NDArray[np.float32]:
        parts = [run(layout.arrange(images[start : start + batch])) for start in range(0, len(images), batch)]
        rows = np.concatenate(parts)
        if rows.size != len(images) * outputs:
            raise ModelError(
                f"{network.path} answers {rows.shape} for {len(images)} images, expected one row for each: its network mixes "
                "the images of a batch"
            )
        return rows.reshape(len(images), outputs)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return in_batches(network.run, images)

    def run_few(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return in_batches(network.run, images, _FIRST_BATCH)

    ending, exact = output_activation(run_few, layout.spec.shape), network.run_float64

    def convert(opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        return layout.prepend(ending.append(_as_rows(network.convert(opset), outputs)))

    return SourceModel(
        path=network.path,
        spec=layout.spec,
        classes=max(outputs, _MIN_CLASSES),
        predict=lambda images: ending.apply(run(images)),
        convert=convert,
        tools=network.tools,
        max_difference=network.max_difference,
        rounding=network.rounding,
        names=network.names,
        notes=(*network.notes, *(note for note in (layout.note, ending.description) if note)),
        scale=network.scale,
        fit=network.fit,
        interpolation=network.interpolation,
        polarity=network.polarity,
        predict_float64=(lambda images: ending.apply(in_batches(exact, images))) if exact else None,
    )


def output_length(path: Path, shape: Shape) -> int:
    """Return the length of a network's output rows; axes of length 1 do not count.

    Raises:
        ModelError: there is not one row for each image.
    """
    lengths = [length for length in shape[1:] if length != 1] or [1]
    if len(shape) < 2 or len(lengths) != 1 or not lengths[0]:  # noqa: PLR2004
        raise ModelError(
            f"{path} answers ({', '.join(map(str, shape))}), expected (None, classes): one row for each image"
        )
    return lengths[0]


def _as_rows(model: Any, outputs: int) -> Any:  # noqa: ANN401
    """Return an ONNX model whose output has the shape (N, outputs)."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    output = graph.output[0]
    batch = output.type.tensor_type.shape.dim[0].dim_value or "N"
    if len(output.type.tensor_type.shape.dim) != 2:  # noqa: PLR2004
        graph.initializer.append(
            numpy_helper.from_array(np.array([-1, outputs], np.int64), "edge_fm_rows_shape")
        )
        graph.node.append(helper.make_node("Reshape", [output.name, "edge_fm_rows_shape"], ["edge_fm_rows"]))
    name = "edge_fm_rows" if len(output.type.tensor_type.shape.dim) != 2 else output.name  # noqa: PLR2004
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, outputs]))
    return model
