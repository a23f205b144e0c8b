"""The classifier: a model, its passport, and the way from a picture to a decision.

Batch labelling, live view, verification and the Python API all use this one class.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.artifact.known_class_score import known_class_score
from edge_fm_runtime.artifact.model_file import read_model, read_passport
from edge_fm_runtime.artifact.passport import Decision, Passport, Precision, Provenance
from edge_fm_runtime.artifact.session import OnnxSession, Session
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.status import Status

_MOST_LOGITS = 100.0
"""Further apart, no answer is doubted: the exponential stays a number."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Attributes:
        label: the likeliest class.
        confidence: its probability, in [0, 1], after temperature, with those of its group's other labels where the
            passport's decision names groups, times the probability that the picture is of any class where the passport can tell.
        status: `ok`, or `unknown` when the confidence is below the model's threshold.
        ranking: every class with its own probability, times the same, likeliest first; ties in the order of the labels.
    """

    label: str
    confidence: float
    status: Status
    ranking: tuple[tuple[str, float], ...]


class Classifier:
    """Classify files, encoded bytes and camera frames with an exported model.

    Example:
        >>> from edge_fm_runtime import Classifier
        >>> Classifier.load("fashion").classify("photo.jpg").label  # doctest: +SKIP
        'Ankle boot'
    """

    def __init__(self, session: Session, passport: Passport) -> None:
        self.passport = passport
        self._session = session
        self._groups = _membership(passport)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = "fashion",
        labels: Sequence[str] | None = None,
        language: str | None = None,
    ) -> Self:
        """Open a model.

        Args:
            model: the name of a bundled model, or the path of an `.onnx` file.
            labels: class names for a file without a passport, which then gets the default preprocessing.
            language: of the labels, such as `ko`, if the passport has them; None for the model's own.

        Raises:
            ModelError: the file is missing, refused, does not fit its passport, or does not know the language.
        """
        return cls.from_bytes(read_model(model), labels, language)

    @classmethod
    def from_bytes(
        cls, data: bytes, labels: Sequence[str] | None = None, language: str | None = None
    ) -> Self:
        """Open a model from the bytes of an `.onnx` file; see `load`."""
        passport = read_passport(data)
        session = OnnxSession(data)
        if passport is None:
            if labels is None:
                raise ModelError(
                    "the model has no passport, so its labels and preprocessing are unknown: export it from its "
                    "source with 'edge-fm export', or give --labels A,B,... and accept the default preprocessing "
                    "(letterbox, grey as it is)"
                )
            return cls(
                session,
                _default_passport(session.infer_input_spec(len(labels)), labels).in_language(language),
            )
        if labels is not None and tuple(labels) != passport.labels:
            raise ModelError(
                f"the model's passport names its labels ({', '.join(passport.labels)}), and --labels says otherwise: "
                "leave --labels away, or export again with other labels"
            )
        session.check(passport.input, len(passport.labels))
        return cls(session, passport.in_language(language))

    def classify(
        self, picture: str | bytes | os.PathLike[str], limits: Limits = guard.DEFAULT_LIMITS
    ) -> Prediction:
        """Classify one picture.

        Args:
            picture: a file's path, or the encoded bytes of a JPEG, PNG, WebP or BMP.
            limits: how large it may be.

        Raises:
            InputError: it is missing, damaged, too large or no picture.
        """
        data = picture if isinstance(picture, bytes) else guard.read_file(picture, limits)
        probabilities = self.probabilities(self.tensor(data, limits)[np.newaxis])
        whole = self.redecode(data, probabilities[0], limits)
        if whole is not None:
            probabilities = self.probabilities(whole[np.newaxis])
        return self.decide(probabilities)[0]

    def classify_frame(self, frame_bgr: NDArray[np.uint8]) -> Prediction:
        """Classify one camera frame, (height, width, 3) uint8 in blue, green, red order."""
        return self.decide(self.probabilities(self.frame_tensor(frame_bgr)[np.newaxis]))[0]

    def tensor(self, data: bytes, limits: Limits = guard.DEFAULT_LIMITS) -> NDArray[np.uint8]:
        """Return the (height, width, channels) uint8 input of an encoded picture; see `preprocess`."""
        return preprocess.tensor_from_bytes(data, self.passport.input, self.passport.preprocess, limits)

    def needs_full_decode(self, probabilities: NDArray[np.float32]) -> list[int]:
        """Return which rows of (N, classes) calibrated probabilities may hang on what reduced decoding left out; see `second_look`."""
        near = self._margin_ratio(preprocess.LEAST_PIXELS_LEFT)
        second, first = np.partition(probabilities.astype(np.float64), -2, axis=1)[:, -2:].T
        found: list[int] = np.flatnonzero(first <= second * near).tolist()
        return found

    def _margin_ratio(self, pixels_left: float) -> float:
        """Return how many times as likely as the second label the first may be, and still be doubted; 1 where every pixel is left."""
        decision = self.passport.decision
        if pixels_left == math.inf:
            return 1.0
        apart = math.hypot(decision.reduced_decode_margin / pixels_left, decision.rounding_margin)
        return math.exp(min(apart / decision.temperature, _MOST_LOGITS))

    def redecode(
        self,
        data: bytes,
        probabilities: NDArray[np.float32],
        limits: Limits = guard.DEFAULT_LIMITS,
        begin: Callable[[], None] = lambda: None,
    ) -> NDArray[np.uint8] | None:
        """Return a picture's input with every pixel decoded, if its answer hangs on what reduced decoding left out.

        Args:
            data: the encoded picture, of which `tensor` gave an input.
            probabilities: (classes,) float32, what `probabilities` gave for that input.
            limits: how large the picture may be.
            begin: told before the picture is decoded.

        Returns:
            (height, width, channels) uint8; None if the answer stands.

        Raises:
            InputError: the picture cannot be decoded whole.
        """
        spec, recipe = self.passport.input, self.passport.preprocess
        second, first = np.sort(probabilities)[-2:].tolist()
        if first > second * self._margin_ratio(preprocess.LEAST_PIXELS_LEFT):
            return None
        if first > second * self._margin_ratio(preprocess.pixels_left(data, spec, recipe, limits)):
            return None
        begin()
        return preprocess.tensor_from_bytes(data, spec, recipe, limits, full_scale=True)

    def frame_tensor(
        self, frame_bgr: NDArray[np.uint8], greys: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Return the (height, width, channels) uint8 input of a camera frame; see `preprocess`."""
        return preprocess.tensor_from_frame(frame_bgr, self.passport.input, self.passport.preprocess, greys)

    def raw_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the graph's own (N, classes) float32 for (N, height, width, channels) uint8."""
        return self._session.run(images)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities.

        Args:
            images: (N, height, width, channels) uint8 in [0, 255].

        Returns:
            (N, classes) float32 in [0, 1]; each row sums to 1.
        """
        raw = self.raw_probabilities(images)
        temperature = self.passport.decision.temperature
        if temperature == 1.0:
            return raw
        powered = np.power(raw.astype(np.float64), 1 / temperature)
        return np.asarray(powered / powered.sum(axis=1, keepdims=True), np.float32)

    def confidence(self, label: str, prediction: Prediction) -> float:
        """Return the confidence that a label has in a prediction, whichever won."""
        group = next((group for group in self.passport.decision.groups if label in group), (label,))
        return min(1.0, sum(share for name, share in prediction.ranking if name in group))

    def decide(self, probabilities: NDArray[np.float32]) -> list[Prediction]:
        """Return one prediction for each row of (N, classes) calibrated probabilities."""
        labels = self.passport.labels
        order = np.argsort(-probabilities, axis=1, kind="stable")
        if self.passport.decision.known_class_weights:
            known = known_class_score(probabilities, self.passport.decision.known_class_weights)
            probabilities = (probabilities * known[:, np.newaxis]).astype(np.float32)
        summed = probabilities if self._groups is None else np.minimum(probabilities @ self._groups, 1)
        predictions = []
        for row, sums, ranks in zip(probabilities.tolist(), summed.tolist(), order.tolist(), strict=True):
            confidence = sums[ranks[0]]
            is_known = confidence >= self.passport.decision.unknown_below
            predictions.append(
                Prediction(
                    labels[ranks[0]],
                    confidence,
                    Status.OK if is_known else Status.UNKNOWN,
                    tuple((labels[rank], row[rank]) for rank in ranks),
                )
            )
        return predictions


def _membership(passport: Passport) -> NDArray[np.float32] | None:
    """Return (classes, classes) float32: ones where two labels are of one group; None without groups."""
    if not passport.decision.groups:
        return None
    together = np.eye(len(passport.labels), dtype=np.float32)
    for group in passport.decision.groups:
        members = [passport.labels.index(label) for label in group]
        together[np.ix_(members, members)] = 1
    return together


def _default_passport(spec: InputSpec, labels: Sequence[str]) -> Passport:
    return Passport(
        labels=tuple(labels),
        input=spec,
        preprocess=Preprocess(),
        decision=Decision(),
        precision=Precision(),
        evidence=(),
        golden=(),
        provenance=Provenance("unknown", "", (), "", "unknown", "unknown"),
    )
