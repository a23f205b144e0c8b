"""Fine-tuning for int8: the quantised graph itself, as a Keras network (`trainable.py`), learns to answer as its source did.

What is learnt are the source's probabilities (Hinton et al., 2015, arXiv:1503.02531), so no labels are needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import ModelProto
from edge_fm_exporters.trainable import Graph, network

_RATE = 3e-5
_BATCH = 128

Tuned = Callable[[int, float], None]
"""Told (epoch from 1, share of it done)."""


@dataclass(frozen=True)
class Tuning:
    """What to learn from.

    Attributes:
        images: (N, height, width, channels) uint8 of the training part, neither tested on nor chosen on.
        probabilities: the source's for them, (N, classes) float32.
        epochs: how often each is seen.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    epochs: int


def finetune(model: ModelProto, source: ModelProto, tuning: Tuning, listener: Tuned) -> ModelProto:
    """Return the quantised model with weights, biases and scales that were learnt.

    Args:
        model: quantised, uint8 input.
        source: the float32 graph that it was made of, whose weights it begins with; biases are the quantised model's.
        tuning: what to learn from.
        listener: told of progress.

    Raises:
        ExportError: the graph has an operator that cannot be trained here.
    """
    keras = import_keras()
    keras.utils.set_random_seed(0)
    graph = Graph(model, source)
    trained = network(graph, tuning.images.shape[1:])
    steps = math.ceil(len(tuning.images) / _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(_RATE, steps * tuning.epochs)
    trained.compile(keras.optimizers.Adam(rate), keras.losses.CategoricalCrossentropy())

    class Told(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
            listener(self.epoch + 1, (batch + 1) / steps)

    trained.fit(
        tuning.images.astype(np.float32),
        tuning.probabilities,
        batch_size=_BATCH,
        epochs=tuning.epochs,
        verbose=0,
        callbacks=[Told()],
    )
    return graph.written({name: np.asarray(variable) for name, variable in trained.learnt.items()})
