"""Tensors inside a graph, for those who set ranges and biases by them."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto


def activations(
    model: ModelProto, names: list[str], batches: Iterable[NDArray[np.float32]], *, optimised: bool = False
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the values of some float tensors for each batch.

    Args:
        model: with one input.
        names: of the tensors.
        batches: of its input.
        optimised: whether onnxruntime may fuse what does not lie before and behind them: as fast as on a
            device, and in the same integers.
    """
    from onnx import TensorProto, helper

    copy = type(model)()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = opened(copy, optimised=optimised)
    source = session.get_inputs()[0].name
    for batch in batches:
        yield session.run(names, {source: batch})


def opened(model: ModelProto, *, optimised: bool) -> Any:  # noqa: ANN401  # onnxruntime ships no types
    """Return an `onnxruntime.InferenceSession` on the processor, silent.

    Args:
        model: whose tensors are wanted.
        optimised: as for `activations`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
