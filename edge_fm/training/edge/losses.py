"""Losses of the edge family."""

from collections.abc import Callable
from typing import Any

from edge_fm_exporters.framework import import_keras


def partial_label_loss(smoothing: float) -> Callable[[Any, Any], Any]:
    """Return the loss of probabilities against allowed classes.

    For a picture that may be any of several classes, minus the logarithm of their summed probability: a shoe
    need not be told from a sandal that nobody told apart. For a picture of no class, the cross-entropy with
    all classes alike.

    Args:
        smoothing: share of the loss that pulls towards all classes alike, in [0, 1).
    """
    ops = import_keras().ops

    def loss(allowed: Any, predicted: Any) -> Any:  # noqa: ANN401
        predicted = ops.clip(predicted, 1e-7, 1.0)
        known = ops.max(allowed, axis=-1)
        right = ops.log(ops.clip(ops.sum(allowed * predicted, axis=-1), 1e-7, 1.0))
        alike = ops.mean(ops.log(predicted), axis=-1)
        share = known * (1 - smoothing)
        return -(share * right + (1 - share) * alike)

    return loss
