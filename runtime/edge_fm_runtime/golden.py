"""Replay the golden inputs of a model on this machine and name the first stage that differs."""

from dataclasses import dataclass

import numpy as np

from edge_fm_runtime.artifact.passport import Golden
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError, ModelError

TENSOR_TOLERANCE = 1
"""Largest difference of two tensors in grey levels that passes; decoders round differently."""


@dataclass(frozen=True)
class Replay:
    """Result of one golden input on this machine.

    Attributes:
        index: position of the golden input in the passport, from 0.
        label: label on this machine.
        expected_label: label on the machine that exported the model.
        tensor_difference: largest difference of the tensors in grey levels; None if decoding failed.
        probability_difference: largest difference of the probabilities, computed from the stored tensor.
        stage: the stage that differs: `decoding`, `preprocessing` or `model`; empty if none does.
    """

    index: int
    label: str
    expected_label: str
    tensor_difference: int | None
    probability_difference: float
    stage: str


def replay(classifier: Classifier) -> list[Replay]:
    """Run every golden input and compare each stage with the machine that exported the model.

    Raises:
        ModelError: the model has no golden inputs.
    """
    passport = classifier.passport
    if not passport.golden:
        raise ModelError("the model has no golden inputs to replay: export it again with 'edge-fm export'")
    return [_replay_one(classifier, index, golden) for index, golden in enumerate(passport.golden)]


def _replay_one(classifier: Classifier, index: int, golden: Golden) -> Replay:
    passport = classifier.passport
    stored = np.frombuffer(golden.tensor, np.uint8).reshape(passport.input.shape)
    expected = np.array(golden.own, np.float64)
    # The model runs on the stored tensor, so that rounding in a decoder does not count as a difference of the
    # model.
    answer = classifier.raw_probabilities(stored[np.newaxis])[0].astype(np.float64)
    probability_difference = float(np.abs(answer - expected).max())
    tensor_difference: int | None
    try:
        tensor = classifier.tensor(golden.image)
        tensor_difference = int(np.abs(tensor.astype(np.int16) - stored).max())
    except InputError:
        tensor_difference = None
    return Replay(
        index=index,
        label=passport.labels[int(answer.argmax())],
        expected_label=passport.labels[int(expected.argmax())],
        tensor_difference=tensor_difference,
        probability_difference=probability_difference,
        stage=_stage(tensor_difference, probability_difference, passport.precision.tolerance),
    )


def _stage(tensor_difference: int | None, probability_difference: float, tolerance: float) -> str:
    """Return the first stage that differs, empty if none does; a probability that is NaN differs."""
    if tensor_difference is None:
        return "decoding"
    if tensor_difference > TENSOR_TOLERANCE:
        return "preprocessing"
    return "" if probability_difference <= tolerance else "model"
