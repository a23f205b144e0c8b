"""Run and convert the part of a SavedModel's graph that answers, without loading the rest."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_tensorflow, versions
from edge_fm_exporters.sources.input_layout import Shape
from edge_fm_exporters.sources.saved_model.graph import SavedGraph
from edge_fm_exporters.sources.saved_model.operators import ALLOWED
from edge_fm_exporters.sources.tensorflow_graph import TESTED, TensorFlowNetwork
from edge_fm_runtime.errors import ModelError


class SavedNetwork:
    """A SavedModel's answers; batches of a fixed length are filled up and cut."""

    def __init__(self, path: Path, graph: SavedGraph, shape: Shape) -> None:
        """Set up the network.

        Args:
            path: the folder.
            graph: what it computes.
            shape: of its input, with the batch axis as it is in the file and no other open axis.

        Raises:
            ModelError: TensorFlow cannot read the graph or the variables.
        """
        self._batch = shape[0]
        try:
            answer = _imported(path, graph)
            self._network = TensorFlowNetwork(answer, shape, graph.layers)
            start = np.zeros((shape[0] or 1, *(length or 1 for length in shape[1:])), np.float32)
            self.output_shape: Shape = (None, *self._network.run(start).shape[1:])
        except ModelError:
            raise
        except Exception as error:  # TensorFlow raises whatever a damaged graph leads to
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"{path} cannot be read as a SavedModel ({lines[0]:.200}); {versions(TESTED)}"
            ) from error

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs for a batch of any length."""
        if self._batch is None:
            return self._network.run(batch)
        missing = -len(batch) % self._batch
        filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
        parts = [
            self._network.run(filled[start : start + self._batch])
            for start in range(0, len(filled), self._batch)
        ]
        return np.concatenate(parts)[: len(batch)]

    def convert(self, opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        """Return an ONNX model; reshapes to a fixed batch are made to take any."""
        model = self._network.convert(opset)
        return model if self._batch is None else _with_free_batch(model, self._batch)


def _imported(path: Path, graph: SavedGraph) -> Callable[[Any], Any]:
    """Return a function from images to answers that computes what the file's graph does."""
    tf = import_tensorflow()
    definition = _pruned(path, graph)
    _register(definition)
    resources = {node.name for node in definition.node if node.op == "VarHandleOp"}
    variables: dict[str, Any] = {}
    if graph.variables:
        checkpoint = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        for name, key in graph.variables.items():
            variables[name] = tf.Variable(checkpoint.get_tensor(key), trainable=False)

    def answer(image: Any) -> Any:  # noqa: ANN401  # TensorFlow ships no types
        context = tf.compat.v1.get_default_graph()
        for variable in variables.values():
            context.watch_variable(variable)  # so that the conversion knows it for a constant
        known = {
            f"{name}:0": context.capture(variable.handle) if name in resources else variable.read_value()
            for name, variable in variables.items()
        }
        (output,) = tf.graph_util.import_graph_def(
            definition,
            input_map={graph.input.tensor: tf.cast(image, graph.input.dtype), **known},
            return_elements=[graph.output.tensor],
            name="saved_model",
        )
        return output

    return answer


def _pruned(path: Path, graph: SavedGraph) -> Any:  # noqa: ANN401
    """Return a GraphDef of the nodes and functions that the answers need."""
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    file = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    whole = file.meta_graphs[graph.tag_set].graph_def
    pruned = graph_pb2.GraphDef(versions=whole.versions)
    pruned.node.extend(node for node in whole.node if node.name in graph.nodes)
    functions = [item for item in whole.library.function if item.signature.name in graph.functions]
    pruned.library.function.extend(functions)
    for node in pruned.node:
        node.device = ""
    # The check was made on this package's reading of the file; TensorFlow's is what runs.
    inner = [node for function in functions for node in function.node_def]
    for node in (*pruned.node, *inner):
        if node.op not in ALLOWED and node.op not in graph.functions:
            raise ModelError(f"{path} is damaged: it computes {node.op!r:.80} where it was read otherwise")
    return pruned


def _register(definition: Any) -> None:  # noqa: ANN401
    """Give the functions to TensorFlow, under names that no other file's have, which are global."""
    from tensorflow.python.eager import context  # the public ways to it load whole SavedModels

    library = definition.library.function
    suffix = hashlib.sha256(definition.SerializeToString(deterministic=True)).hexdigest()[:16]
    names = {item.signature.name: f"{item.signature.name}_{suffix}" for item in library}
    for node in (*definition.node, *(node for item in library for node in item.node_def)):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in names:
                    function.name = names[function.name]
    for item in library:
        item.signature.name = names[item.signature.name]
        context.context().add_function_def(item)


def _with_free_batch(model: Any, batch: int) -> Any:  # noqa: ANN401
    """Return an ONNX model whose reshapes to `batch` rows take any number of rows."""
    from onnx import numpy_helper

    targets = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in targets:
            lengths = numpy_helper.to_array(tensor).copy()
            if lengths.ndim == 1 and len(lengths) and lengths[0] == batch and -1 not in lengths:
                lengths[0] = -1
                tensor.CopyFrom(numpy_helper.from_array(lengths, tensor.name))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    return model
