"""Tensors inside a graph, for those who set ranges and biases by them."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph import ModelProto


def activations(
    model: ModelProto, names: list[str], batches: Iterable[NDArray[np.float32]], *, optimised: bool = False
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the values of some float tensors for each batch.

    Args:
        model: with one input.
        names: of the tensors.
        batches: of its input.
        optimised: whether onnxruntime may fuse what does not lie before and behind them: as fast as on a device, and in the
            same integers.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    opened = type(model)()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    source = session.get_inputs()[0].name
    for batch in batches:
        yield session.run(names, {source: batch})
