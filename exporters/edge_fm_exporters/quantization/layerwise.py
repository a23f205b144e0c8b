"""A quantised network run on the same pictures layer by layer, while it is changed from the front.

To see a layer's output, all before it would have to be run, for each layer again. Here the integers that
enter a layer are kept, and those behind it begin with them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.graph.editing import ModelProto, drop_unused
from edge_fm_exporters.quantization.activations import opened

NodeProto = Any
"""An `onnx.NodeProto`; onnx ships no types."""

_MOST_HELD = 2**28
"""Largest tensor over all images that is cached, in bytes; a larger one is computed again per layer."""


class LayerwiseRunner:
    """The network on its pictures, as far as it has been gone through.

    Args:
        model: QDQ, its nodes in the order in which they can be run; biases and weights may change between
            calls, but not before a layer that `outputs` was called for.
        batches: of its input, all of one size.
    """

    def __init__(self, model: ModelProto, batches: Sequence[NDArray[np.float32]]) -> None:
        self._model = model
        self._makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
        self._held: dict[str, Sequence[NDArray[np.generic]]] = {model.graph.input[0].name: batches}

    def outputs(self, layer: NodeProto, later: Iterable[NodeProto]) -> Iterator[NDArray[np.float32]]:
        """Yield what a layer's output is for each batch.

        Args:
            layer: a node of the model, behind all that this was called for before.
            later: the ones that this will be called for; what none of them needs is dropped.
        """
        entered = self._makers.get(layer.input[0])
        if entered is not None and entered.op_type == "DequantizeLinear" and entered.input[0] in self._makers:
            self._hold(entered.input[0])
        yield from self._run(layer.output[0])
        _, needed = self._behind_what_is_held([node.output[0] for node in later])
        self._held = {name: kept for name, kept in self._held.items() if name in needed}

    def _hold(self, name: str) -> None:
        kept, size = [], 0
        for value in self._run(name):
            kept.append(value)
            size += value.nbytes
            if size > _MOST_HELD:
                return
        self._held[name] = kept

    def _run(self, name: str) -> Iterator[Any]:
        """Yield a tensor for each batch, fused as on a device."""
        if name in self._held:
            yield from self._held[name]
            return
        nodes, needed = self._behind_what_is_held([name])
        model = _part(self._model, nodes, {held: self._held[held][0] for held in needed}, name)
        session = opened(model, optimised=True)
        for batch in range(len(next(iter(self._held.values())))):
            (value,) = session.run([name], {held: self._held[held][batch] for held in needed})
            yield value

    def _behind_what_is_held(self, names: Iterable[str]) -> tuple[list[NodeProto], list[str]]:
        """Return the nodes between cached and wanted tensors, in order, and the cached ones they read."""
        reached: set[str] = set()
        waiting, needed = list(names), set()
        while waiting:
            name = waiting.pop()
            if name in self._held:
                needed.add(name)
            elif name in self._makers and name not in reached:
                reached.add(name)
                waiting += self._makers[name].input
        nodes = [node for node in self._model.graph.node if not reached.isdisjoint(node.output)]
        return nodes, sorted(needed)


def _part(
    model: ModelProto, nodes: Iterable[NodeProto], given: dict[str, NDArray[np.generic]], wanted: str
) -> ModelProto:
    """Return a part of a model: some of its nodes, with what is given for inputs."""
    from onnx import ValueInfoProto, helper

    part = type(model)()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.graph.name = wanted
    part.graph.node.extend(nodes)
    part.graph.initializer.extend(model.graph.initializer)
    for name, value in given.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        part.graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
    part.graph.output.append(ValueInfoProto(name=wanted))
    drop_unused(part)
    return part
