"""Replay a model's golden inputs on this machine, from encoded bytes on, and say which stage differs."""

from dataclasses import dataclass

import numpy as np

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError, ModelError

TENSOR_TOLERANCE = 1
"""Grey levels by which a tensor may differ: decoders round differently."""


@dataclass(frozen=True)
class Replay:
    """One golden input on this machine.

    Attributes:
        index: which one, from 0.
        label: the label given here.
        expected_label: the label given where it was exported.
        tensor_difference: the largest, in grey levels; None if the bytes could not be decoded.
        probability_difference: the largest against the file's own, from the stored tensor.
        stage: `decoding`, `preprocessing` or `model` when that one differs, else empty.
    """

    index: int
    label: str
    expected_label: str
    tensor_difference: int | None
    probability_difference: float
    stage: str


def replay(classifier: Classifier) -> list[Replay]:
    """Run every golden input; a stage that differs is named in its result.

    Raises:
        ModelError: the model carries no golden inputs.
    """
    passport = classifier.passport
    if not passport.golden:
        raise ModelError(
            "the model carries no golden inputs to replay: export it again with 'edge-fm export'"
        )
    results = []
    for index, golden in enumerate(passport.golden):
        stored = np.frombuffer(golden.tensor, np.uint8).reshape(passport.input.shape)
        # The model is judged on the stored tensor, so that a decoder's rounding is not held against it.
        own = np.array(golden.own, np.float64)
        answer = classifier.raw_probabilities(stored[np.newaxis])[0].astype(np.float64)
        difference = float(np.abs(answer - own).max())
        tensor_difference: int | None
        try:
            tensor = classifier.tensor(golden.image)
            tensor_difference = int(np.abs(tensor.astype(np.int16) - stored).max())
        except InputError:
            tensor_difference = None
        if tensor_difference is None:
            stage = "decoding"
        elif tensor_difference > TENSOR_TOLERANCE:
            stage = "preprocessing"
        elif not difference <= passport.precision.tolerance:
            stage = "model"
        else:
            stage = ""
        results.append(
            Replay(
                index,
                passport.labels[int(answer.argmax())],
                passport.labels[int(own.argmax())],
                tensor_difference,
                difference,
                stage,
            )
        )
    return results
