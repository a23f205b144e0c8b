"""Flip test-time augmentation inside the graph: the mean over an image and its flip (decision 0019).

The mirror image is made inside the graph, of the uint8 pixels, and both go through the network as a batch of
two: it costs twice the work and a few hundred bytes, and neither preprocessing nor runner knows of it. After
the two views of Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
whose mean they took at test time.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto, add_constant, fixed_batch
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.session import INPUT, OUTPUT
from edge_fm_runtime.errors import ExportError

_WIDTH = 2
"""Axis of the columns in (N, height, width, channels)."""

_TO_THE_FIRST = np.iinfo(np.int64).min
"""Where a Slice that goes backwards ends, to take the first column too."""

ENSEMBLE_INPUT = "picture_and_mirror"
"""What the network takes in the place of the input: (2 N, height, width, channels) uint8."""


def ensemble_source(model: SourceModel) -> SourceModel:
    """Return a source that answers with the mean over each image and its flip; `convert` is unchanged."""

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        return np.asarray((model.predict(images) + model.predict(mirrored)) / np.float32(2))

    return replace(model, predict=predict)


def ensemble_graph(model: ModelProto) -> ModelProto:
    """Return a model that answers with that mean.

    Args:
        model: with the input `image` (N, height, width, channels) and the output `probabilities` (N,
            classes).

    Raises:
        ExportError: it takes a fixed number of images.
    """
    import onnx
    from onnx import helper

    if fixed_batch(model) is not None:
        raise ExportError(
            f"the network takes exactly {fixed_batch(model)} images at a time, and --tta flip needs one that takes any "
            "number: export without --tta flip"
        )
    both = onnx.ModelProto()
    both.CopyFrom(model)
    inner = both.graph
    for node in inner.node:
        node.input[:] = [ENSEMBLE_INPUT if name == INPUT else name for name in node.input]
        node.output[:] = [f"{OUTPUT}_of_both" if name == OUTPUT else name for name in node.output]
    classes = inner.output[0].type.tensor_type.shape.dim[1].dim_value
    numbers = {
        "last": [-1],
        "first": [_TO_THE_FIRST],
        "columns": [_WIDTH],
        "back": [-1],
        "pairs": [2, -1, classes],
    }
    for name, value in numbers.items():
        add_constant(both, f"mirror_{name}", np.array(value, np.int64))
    turned = ["mirror_last", "mirror_first", "mirror_columns", "mirror_back"]
    before = [
        helper.make_node("Slice", [INPUT, *turned], ["mirror"], name="mirror"),
        helper.make_node("Concat", [INPUT, "mirror"], [ENSEMBLE_INPUT], name=ENSEMBLE_INPUT, axis=0),
    ]
    after = [
        helper.make_node("Reshape", [f"{OUTPUT}_of_both", "mirror_pairs"], ["pairs"], name="pairs"),
        _mean(both),
    ]
    nodes = [*before, *inner.node, *after]
    del inner.node[:]
    inner.node.extend(nodes)
    del inner.value_info[:]
    onnx.checker.check_model(both, full_check=True)
    return both


def _mean(model: ModelProto) -> Any:  # noqa: ANN401  # onnx ships no types
    """Return the ReduceMean over the first axis of `pairs`; the axis is an input from opset 18 on."""
    from onnx import helper

    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    if opset < 18:  # noqa: PLR2004
        return helper.make_node("ReduceMean", ["pairs"], [OUTPUT], name="mean", axes=[0], keepdims=0)
    add_constant(model, "mirror_axis", np.array([0], np.int64))
    return helper.make_node("ReduceMean", ["pairs", "mirror_axis"], [OUTPUT], name="mean", keepdims=0)


def is_flip_ensemble(data: bytes) -> bool:
    """Return whether an `.onnx` file answers pictures together with their mirror images."""
    import onnx

    return any(ENSEMBLE_INPUT in node.output for node in onnx.load_from_string(data).graph.node)
