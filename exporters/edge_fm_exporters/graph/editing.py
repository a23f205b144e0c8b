"""Read and edit ONNX graphs: consumers, shapes, constants, the batch axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT
from edge_fm_runtime.errors import ExportError

ModelProto = Any
"""An `onnx.ModelProto`; onnx ships no types."""

AttributeProto = Any
"""An `onnx.AttributeProto`."""


def with_batch(data: bytes, batch: int | None) -> bytes:
    """Return a model that takes exactly `batch` pictures at a time; None leaves the number as it is.

    Raises:
        ExportError: the network takes another number only.
    """
    if batch is None:
        return data
    import onnx

    model = onnx.load_from_string(data)
    own = fixed_batch(model)
    if own not in {None, batch}:
        raise ExportError(
            f"the network takes exactly {own} images at a time, and --batch is {batch}: leave --batch out"
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def fixed_batch(model: ModelProto) -> int | None:
    """Return how many images a model takes at a time; None for any number."""
    return int(model.graph.input[0].type.tensor_type.shape.dim[0].dim_value) or None


def inferred_shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the shape of every tensor that onnx can tell it of, 0 where an axis has no fixed length."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input)
    }


def only_consumer(graph: Any, tensor: str) -> Any:  # noqa: ANN401
    """Return the one node that reads a tensor; None if there are none or several."""
    consumers = [node for node in graph.node if tensor in node.input]
    return consumers[0] if len(consumers) == 1 else None


def rewire(model: ModelProto, old: str, new: str) -> None:
    """Let every node that reads the tensor `old` read `new` instead."""
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def replace_input(model: ModelProto, spec: InputSpec) -> None:
    """Give the model the uint8 input, of the batch that it has."""
    from onnx import TensorProto, helper

    batch = fixed_batch(model) or "N"
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, *spec.shape]))


def add_constant(model: ModelProto, name: str, value: np.generic | NDArray[np.generic]) -> None:
    """Add a constant of a name that is not there yet."""
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def drop_unused(model: ModelProto) -> None:
    """Drop constants that no node reads, and operator sets that no node is of."""
    domains = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in domains]:
        model.opset_import.remove(opset)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
