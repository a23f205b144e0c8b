"""Smooth labels over time: average probabilities, and hold a label until another one stays."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier, Prediction


class LabelSmoother:
    """Turns each frame's probabilities into the prediction to show.

    Probabilities are averaged exponentially with a time constant, so that the result does not depend on the
    frame rate.
    """

    def __init__(self, classifier: Classifier, smoothing_s: float = 0.0, hold_s: float = 0.0) -> None:
        """Create a smoother for a feed.

        Args:
            classifier: whose labels and threshold are used.
            smoothing_s: time constant in seconds; 0 takes each frame by itself.
            hold_s: how long another label must have won before it is shown; 0 shows it at once.
        """
        self._classifier, self._smoothing_s, self._hold_s = classifier, smoothing_s, hold_s
        self._average: NDArray[np.float64] | None = None
        self._last_s = 0.0
        self._shown: Prediction | None = None
        self._candidate: tuple[str, str] | None = None
        self._candidate_since_s = 0.0

    def for_model(self, classifier: Classifier) -> "LabelSmoother":
        """Return a new smoother with the same times for another model."""
        return LabelSmoother(classifier, self._smoothing_s, self._hold_s)

    def answer(self, probabilities: NDArray[np.float32], at_s: float) -> Prediction:
        """Return the prediction to show.

        Args:
            probabilities: (classes,) of one frame.
            at_s: the frame's place in the feed, in seconds.
        """
        winner = self._classifier.decide(self._smoothed(probabilities, at_s)[np.newaxis])[0]
        if self._shown is None or self._is_due(winner, at_s):
            self._shown = winner
            return winner
        confidence = self._classifier.confidence(self._shown.label, winner)
        self._shown = replace(self._shown, confidence=confidence, ranking=winner.ranking)
        return self._shown

    def _smoothed(self, probabilities: NDArray[np.float32], at_s: float) -> NDArray[np.float32]:
        if self._smoothing_s <= 0:
            return probabilities
        if self._average is None:
            self._average = probabilities.astype(np.float64)
        else:
            kept = math.exp(-max(0.0, at_s - self._last_s) / self._smoothing_s)
            self._average = kept * self._average + (1 - kept) * probabilities
        self._last_s = at_s
        return self._average.astype(np.float32)

    def _is_due(self, winner: Prediction, at_s: float) -> bool:
        """Return whether `winner` may be shown: it is shown already, or has won for long enough."""
        key = winner.label, winner.status
        if self._shown is not None and key == (self._shown.label, self._shown.status):
            self._candidate = None
            return True
        if self._candidate != key:
            self._candidate, self._candidate_since_s = key, at_s
        return at_s - self._candidate_since_s >= self._hold_s
