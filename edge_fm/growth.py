"""The weights of an earlier, smaller network of the family for one that has more: blocks that it lacked, or fewer channels inside one.

A residual block that ends in a normalisation of weight and bias zero adds nothing: put where its input and output are alike, it leaves the answers
as they are, and training gives it something to say (Goyal et al., 2017, arXiv:1706.02677, 5.1, begin every block so; Chen et al., "Net2Net",
2015, arXiv:1511.05641, let networks grow in this way). Channels inside a block that are too many are left out, those first that add least
to what it ends with; training makes up for them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras

KerasModel = Any
"""A `keras.Model` of the edge family; Keras ships no types."""

_Pair = tuple[Any, Any]
"""A convolution and the normalisation behind it."""


@dataclass(frozen=True)
class _Block:
    first: _Pair
    second: _Pair
    shortcut: _Pair | None

    @property
    def place(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """What goes in and what comes out, each (batch, height, width, channels)."""
        return tuple(self.first[0].input.shape), tuple(self.second[1].output.shape)

    @property
    def inner(self) -> int:
        return int(self.first[0].filters)


def grow(old: KerasModel, new: KerasModel) -> bool:
    """Give a network the weights of an earlier one, what it has besides saying nothing yet.

    Args:
        old: that has been trained.
        new: as built.

    Returns:
        whether the old one fits into it; if not, some weights may have been given already.
    """
    theirs = _blocks(old)
    for block in _blocks(new):
        if theirs and theirs[0].place == block.place:
            before = theirs.pop(0)
            if before.inner < block.inner or (before.shortcut is None) != (block.shortcut is None):
                return False
            _give(before, block)
        elif block.shortcut is None:
            weight, bias, *seen = block.second[1].get_weights()
            block.second[1].set_weights([np.zeros_like(weight), np.zeros_like(bias), *seen])
        else:
            return False
    kept, empty = _rest(old), _rest(new)
    if theirs or [_shapes(layer) for layer in kept] != [_shapes(layer) for layer in empty]:
        return False
    for layer, target in zip(kept, empty, strict=True):
        target.set_weights(layer.get_weights())
    return True


def _blocks(model: KerasModel) -> list[_Block]:
    """Return the residual blocks from the picture on."""
    makers = {layer.output.name: layer for layer in model.layers}

    def pair(normalisation: Any) -> _Pair:  # noqa: ANN401
        return makers[normalisation.input.name], normalisation

    found = []
    for layer in model.layers:
        if isinstance(layer, import_keras().layers.Add):
            goes_by, ends = (makers[tensor.name] for tensor in layer.input)
            second = pair(ends)
            activation = makers[second[0].input.name]
            projected = isinstance(goes_by, import_keras().layers.BatchNormalization)
            found.append(
                _Block(pair(makers[activation.input.name]), second, pair(goes_by) if projected else None)
            )
    return found


def _rest(model: KerasModel) -> list[Any]:
    """Return the layers with weights that are in no residual block."""
    inside = {
        layer.name
        for block in _blocks(model)
        for pair in (block.first, block.second, block.shortcut or ())
        for layer in pair
    }
    return [layer for layer in model.layers if layer.weights and layer.name not in inside]


def _shapes(layer: Any) -> list[tuple[int, ...]]:  # noqa: ANN401
    return [tuple(weight.shape) for weight in layer.weights]


def _give(old: _Block, new: _Block) -> None:
    kernel, normalised = old.first[0].get_weights()[0], old.first[1].get_weights()
    behind = old.second[0].get_weights()[0]
    kept = _most_telling(normalised[0], behind, new.inner)
    new.first[0].set_weights([kernel[..., kept]])
    new.first[1].set_weights([values[kept] for values in normalised])
    new.second[0].set_weights([behind[:, :, kept]])
    new.second[1].set_weights(old.second[1].get_weights())
    if old.shortcut is not None and new.shortcut is not None:
        for layer, target in zip(old.shortcut, new.shortcut, strict=True):
            target.set_weights(layer.get_weights())


def _most_telling(scale: NDArray[np.float32], behind: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return which channels to keep, in their order: those whose normalised values change most of what the next convolution makes."""
    told = np.abs(scale) * np.sqrt(np.sum(np.square(behind), axis=(0, 1, 3)))
    return np.sort(np.argsort(-told, kind="stable")[:count])
