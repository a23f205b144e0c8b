"""How likely it is that a picture is of any class that a model knows: docs/decisions/0015.

A softmax only says which class is likelier than the others. What it says of a hat is spread over the classes in another way than what
it says of a doubtful shirt, and a logistic regression on the logarithms of the probabilities tells the two apart.
"""

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-3
"""Probabilities below this count as this, so that what is far below does not hang on a processor's rounding."""

_FAR = 50


def features(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what the regression is fitted on: (N, classes) float64, the logarithms of (N, classes) calibrated probabilities."""
    return np.log(np.maximum(probabilities.astype(np.float64), _LEAST))


def known_class_score(probabilities: NDArray[np.floating], weights: tuple[float, ...]) -> NDArray[np.float64]:
    """Return how likely each picture is of any class.

    Args:
        probabilities: (N, classes) calibrated, in [0, 1].
        weights: a bias and one for each class; none makes everything familiar.

    Returns:
        (N,) float64 in [0, 1]: 1 / (1 + exp(-(bias + the sum of weight times logarithm))).
    """
    if not weights:
        return np.ones(len(probabilities))
    scores = weights[0] + features(probabilities) @ np.array(weights[1:])
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -_FAR, _FAR))))
