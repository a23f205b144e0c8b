"""Run and convert what TensorFlow computes: Keras networks and functions of a SavedModel."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import versions
from edge_fm_exporters.sources.input_layout import Shape
from edge_fm_runtime.artifact.session import INPUT, OUTPUT
from edge_fm_runtime.errors import ExportError

TESTED = {"keras": "3.15.1", "tensorflow": "2.21.0", "tf2onnx": "1.17.0", "onnx": "1.23.2"}


class TensorFlowNetwork:
    """A network that TensorFlow computes, traced once to run and to convert it."""

    def __init__(self, network: Callable[..., Any], shape: Shape, layers: Collection[str] = ()) -> None:
        """Set up the network.

        Args:
            network: from a float32 tensor to a tensor.
            shape: of its input, with a free batch axis.
            layers: names of its layers, for messages.
        """
        import tensorflow as tf

        self._layers = frozenset(layers)
        self._signature = [tf.TensorSpec(shape, tf.float32, name=INPUT)]
        self._function = tf.function(
            lambda image: tf.identity(tf.cast(network(image), tf.float32), name=OUTPUT),
            input_signature=self._signature,
            autograph=False,  # it would write Python files into the temporary folder
        )

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs for a batch."""
        import tensorflow as tf

        return np.asarray(self._function(tf.constant(batch)), np.float32)

    def convert(self, opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        """Return an ONNX model: `tf2onnx.convert.from_keras` fails with Keras 3, a tf.function does not.

        Raises:
            ExportError: the conversion fails, or ONNX lacks an operator.
        """
        try:
            try:
                with _without_copies():
                    proto = self._converted(opset)
            except Exception:  # noqa: BLE001  # an optimisation failed: now it is left out
                proto = self._converted(opset)
            _hold_captured(proto, self._function.get_concrete_function())
        except Exception as error:  # tf2onnx and TensorFlow raise whatever they meet
            raise ExportError(
                f"the conversion to ONNX failed ({_first_line(error)}); {versions(TESTED)}"
            ) from error
        _refuse_unknown(proto, opset, self._layers)
        return proto

    def _converted(self, opset: int) -> Any:  # noqa: ANN401
        import tf2onnx

        proto, _ = tf2onnx.convert.from_function(
            self._function, self._signature, opset=opset, custom_op_handlers={"Erfc": (_one_less_erf, [])}
        )
        return proto


@contextmanager
def _without_copies() -> Iterator[None]:
    """Keep tf2onnx from copying the graph before each of its optimisations, a fifth of a conversion.

    tf2onnx 1.17 looks only at whether the variable is there.
    """
    name = "TF2ONNX_CATCH_ERRORS"
    given = os.environ.get(name)
    os.environ[name] = "FALSE"
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


def _hold_captured(proto: Any, function: Any) -> None:  # noqa: ANN401
    """Turn tensors that tf2onnx took for inputs, such as a layer's mean, into constants."""
    from onnx import numpy_helper

    kept = {inner.name: outer for outer, inner in function.graph.captures}
    for value in [value for value in proto.graph.input if value.name in kept]:
        proto.graph.initializer.append(numpy_helper.from_array(kept[value.name].numpy(), value.name))
        proto.graph.input.remove(value)


def _one_less_erf(graph: Any, node: Any, name: str, _arguments: Any) -> None:  # noqa: ANN401  # tf2onnx ships no types
    """Write the complementary error function, which tf2onnx lacks and an exact GELU needs, as 1 - Erf."""
    node.type = "Erf"
    one = graph.make_const(f"{name}_one", np.float32(1)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], name=f"{name}_less", inputs=[one, node.output[0]])


def _refuse_unknown(proto: Any, opset: int, layers: Collection[str]) -> None:  # noqa: ANN401
    """Refuse operators that ONNX does not have, by the layer that they come from, with a way round.

    Raises:
        ExportError: there are some.
    """
    import onnx

    for node in proto.graph.node:
        if not onnx.defs.has(node.op_type, opset, node.domain):
            # A name is model/layer/operator; TensorFlow numbers the uses of a layer: bins_1 is the layer
            # bins.
            parts = [
                re.sub(r"_\d+$", "", part) if part not in layers else part for part in node.name.split("/")
            ]
            layer = next((part for part in reversed(parts) if part in layers), node.name)
            raise ExportError(
                f"the layer {layer!r} computes {node.op_type}, which ONNX (operator set {opset}) has no operator for. "
                "Take it out of the network and do its work on the pictures before training, or build the network "
                f"again with another layer in its place and load the weights into it; {versions(TESTED)}"
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
