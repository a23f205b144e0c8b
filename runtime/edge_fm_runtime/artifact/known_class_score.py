"""Compute the known-class score: the probability that an image shows any class that the model knows.

See docs/decisions/0015. A softmax only compares the classes with each other. An image of something else
spreads its probability over the classes differently from an ambiguous image of a known class, and a logistic
regression on the logarithms of the probabilities separates the two.
"""

import numpy as np
from numpy.typing import NDArray

_MIN_PROBABILITY = 1e-3
"""Smaller probabilities count as this one, so that the score does not depend on a processor's rounding."""

_MAX_LOGIT = 50
"""The score's logit is clipped to this magnitude before the exponential."""


def features(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the inputs of the regression, (N, classes) float64: logarithms of calibrated probabilities."""
    return np.log(np.maximum(probabilities.astype(np.float64), _MIN_PROBABILITY))


def known_class_score(probabilities: NDArray[np.floating], weights: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the probability that each image shows any known class.

    Args:
        probabilities: (N, classes) calibrated, in [0, 1].
        weights: a bias, then one weight per class; empty gives every image the score 1.

    Returns:
        (N,) float64 in [0, 1]: 1 / (1 + exp(-(bias + sum of weight * log(probability)))).
    """
    if not weights:
        return np.ones(len(probabilities))
    logits = weights[0] + features(probabilities) @ np.array(weights[1:])
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -_MAX_LOGIT, _MAX_LOGIT))))
