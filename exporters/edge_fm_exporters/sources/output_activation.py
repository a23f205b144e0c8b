"""Kind of a network's outputs, and how they become probabilities."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.session import OUTPUT

_NOISE = 8
_NEARLY = 1e-3
_SMALLEST_SUM = 1e-30


class OutputActivation(StrEnum):
    """Kind of a network's outputs, which decides how they become probabilities."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    SIGMOIDS = "sigmoids"  # one for each class
    SIGMOID = "sigmoid"  # one output, of the second of two classes
    LOGIT = "logit"  # the same before its sigmoid

    @property
    def description(self) -> str:
        """Description of the added activation; empty if none."""
        return {
            OutputActivation.PROBABILITIES: "",
            OutputActivation.LOGITS: "ends in logits; a softmax was added",
            OutputActivation.SIGMOIDS: "ends in one sigmoid per class; their values were scaled to sum to one",
            OutputActivation.SIGMOID: "ends in one sigmoid; it was made two classes' probabilities",
            OutputActivation.LOGIT: "ends in one number without bounds, taken for the logit of two classes; "
            "if it predicts a quantity, such as an age, it is no classifier",
        }[self]

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, classes) of outputs (N, K)."""
        if self is OutputActivation.PROBABILITIES:
            return outputs
        values = outputs.astype(np.float64)
        if self is OutputActivation.LOGITS:
            values = np.exp(values - values.max(axis=-1, keepdims=True))
        if self in {OutputActivation.LOGITS, OutputActivation.SIGMOIDS}:
            values /= np.maximum(values.sum(axis=-1, keepdims=True), _SMALLEST_SUM)
        if self is OutputActivation.LOGIT:
            values = np.where(
                values >= 0, 1 / (1 + np.exp(-np.abs(values))), 1 - 1 / (1 + np.exp(-np.abs(values)))
            )
        if self in {OutputActivation.SIGMOID, OutputActivation.LOGIT}:
            values = np.concatenate([1 - values, values], axis=-1)
        return values.astype(np.float32)

    def append(self, model: Any) -> Any:  # noqa: ANN401  # onnx ships no types
        """Return an ONNX model whose one output (N, K) became `probabilities` (N, classes)."""
        from onnx import TensorProto, helper, numpy_helper

        graph = model.graph
        raw, classes = graph.output[0].name, _classes(graph.output[0])
        batch = graph.output[0].type.tensor_type.shape.dim[0].dim_value or "N"
        if raw == OUTPUT:
            raw = f"{OUTPUT}_raw"
            _rename(graph, OUTPUT, raw)

        def constant(name: str, value: Any) -> str:  # noqa: ANN401
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
            return name

        def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
            graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
            return output

        if self is OutputActivation.PROBABILITIES:
            node("Identity", [raw], OUTPUT)
        elif self is OutputActivation.LOGITS:
            node("Softmax", [raw], OUTPUT, axis=-1)
        elif self is OutputActivation.SIGMOIDS:
            axes = constant("edge_fm_class_axis", np.array([-1], np.int64))
            total = node("ReduceSum", [raw, axes], "edge_fm_sigmoid_sum", keepdims=1)
            least = constant("edge_fm_smallest_sum", np.float32(_SMALLEST_SUM))
            node("Div", [raw, node("Max", [total, least], "edge_fm_sigmoid_sum_positive")], OUTPUT)
        else:
            second = node("Sigmoid", [raw], "edge_fm_second") if self is OutputActivation.LOGIT else raw
            first = node("Sub", [constant("edge_fm_one", np.float32(1)), second], "edge_fm_first")
            node("Concat", [first, second], OUTPUT, axis=-1)
        del graph.output[:]
        count = 2 if classes == 1 else classes
        graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, count]))
        return model


def output_activation(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]], shape: tuple[int, ...]
) -> OutputActivation:
    """Find out by the numbers what the outputs are: on noise of four scales, and on black.

    Args:
        run: from images (N, *shape) float32 to outputs (N, K).
        shape: of one image.
    """
    noise = np.random.default_rng(0).random((_NOISE, *shape), np.float32)
    images = np.concatenate([noise, noise * 2 - 1, noise * 255, noise * 4 - 2, np.zeros_like(noise[:1])])
    outputs = run(images).astype(np.float64)
    outputs = outputs[np.isfinite(outputs).all(axis=1)]
    inside = bool((outputs >= 0).all() and (outputs <= 1 + _NEARLY).all())
    if outputs.shape[1] == 1:
        return OutputActivation.SIGMOID if inside else OutputActivation.LOGIT
    if inside and (not len(outputs) or np.abs(outputs.sum(axis=1) - 1).max() < _NEARLY):
        return OutputActivation.PROBABILITIES
    return OutputActivation.SIGMOIDS if inside else OutputActivation.LOGITS


def _classes(output: Any) -> int:  # noqa: ANN401
    return int(output.type.tensor_type.shape.dim[-1].dim_value)


def _rename(graph: Any, old: str, new: str) -> None:  # noqa: ANN401
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
