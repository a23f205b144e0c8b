"""The classifier: a model and its passport, from an image to a decision.

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

_MAX_LOGITS = 100.0
"""Cap of a logit difference, so that its exponential stays finite."""


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one image.

    Attributes:
        label: the likeliest class.
        confidence: probability of the label after temperature, in [0, 1]; with groups in the passport, summed
            over the group of the label; with known-class weights, multiplied by the known-class score.
        status: `ok`, or `unknown` when the confidence is below the threshold of the model.
        ranking: every class with its own probability, multiplied by the same score, likeliest first; ties in
            the order of the labels.
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
        self._group_matrix = _group_matrix(passport)

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
            language: language of the labels, such as `ko`, if the passport has it; None for the original
                labels.

        Raises:
            ModelError: the file is missing, refused, contradicts its passport, or lacks the language.
        """
        return cls.from_bytes(read_model(model), labels, language)

    @classmethod
    def from_bytes(
        cls, data: bytes, labels: Sequence[str] | None = None, language: str | None = None
    ) -> Self:
        """Open a model from the bytes of an `.onnx` file; arguments and errors as in `load`."""
        passport = read_passport(data)
        session = OnnxSession(data)
        if passport is None:
            if labels is None:
                raise ModelError(
                    "the model has no passport, so its labels and preprocessing are unknown: export it from its "
                    "source with 'edge-fm export', or give --labels A,B,... and accept the default preprocessing "
                    "(letterbox, grey levels not inverted)"
                )
            return cls(
                session,
                _default_passport(session.infer_input_spec(len(labels)), labels).in_language(language),
            )
        if labels is not None and tuple(labels) != passport.labels:
            raise ModelError(
                f"the model's passport has other labels ({', '.join(passport.labels)}) than --labels: leave out --labels, "
                "or export the model again with other labels"
            )
        session.check(passport.input, len(passport.labels))
        return cls(session, passport.in_language(language))

    def classify(
        self, image: str | bytes | os.PathLike[str], limits: Limits = guard.DEFAULT_LIMITS
    ) -> Prediction:
        """Classify one image.

        Args:
            image: the path of a file, or the encoded bytes of a JPEG, PNG, WebP or BMP.
            limits: size limits.

        Raises:
            InputError: the image is missing, damaged, too large or in no supported format.
        """
        data = image if isinstance(image, bytes) else guard.read_file(image, limits)
        probabilities = self.probabilities(self.tensor(data, limits)[np.newaxis])
        full = self.redecode(data, probabilities[0], limits)
        if full is not None:
            probabilities = self.probabilities(full[np.newaxis])
        return self.decide(probabilities)[0]

    def classify_frame(self, frame_bgr: NDArray[np.uint8]) -> Prediction:
        """Classify one camera frame, (height, width, 3) uint8 in blue, green, red order."""
        return self.decide(self.probabilities(self.frame_tensor(frame_bgr)[np.newaxis]))[0]

    def tensor(self, data: bytes, limits: Limits = guard.DEFAULT_LIMITS) -> NDArray[np.uint8]:
        """Return the (height, width, channels) uint8 input tensor of an encoded image; see `preprocess`."""
        return preprocess.tensor_from_bytes(data, self.passport.input, self.passport.preprocess, limits)

    def needs_full_decode(self, probabilities: NDArray[np.float32]) -> list[int]:
        """Return the rows whose image may need to be decoded at full size; `redecode` decides for each image.

        Args:
            probabilities: (N, classes) float32, calibrated.

        Returns:
            Indices of the rows in which the two likeliest labels are within the margin of reduced decoding.
        """
        ratio = self._margin_ratio(preprocess.MIN_PIXELS_PER_INPUT_PIXEL)
        second, first = np.partition(probabilities.astype(np.float64), -2, axis=1)[:, -2:].T
        rows: list[int] = np.flatnonzero(first <= second * ratio).tolist()
        return rows

    def _margin_ratio(self, pixels_per_input_pixel: float) -> float:
        """Return the ratio of the two largest probabilities up to which `redecode` decodes again.

        Args:
            pixels_per_input_pixel: decoded pixels per input pixel along one axis; infinity at full size,
                where the ratio is 1.
        """
        decision = self.passport.decision
        if pixels_per_input_pixel == math.inf:
            return 1.0
        margin = math.hypot(decision.reduced_decode_margin / pixels_per_input_pixel, decision.rounding_margin)
        return math.exp(min(margin / decision.temperature, _MAX_LOGITS))

    def redecode(
        self,
        data: bytes,
        probabilities: NDArray[np.float32],
        limits: Limits = guard.DEFAULT_LIMITS,
        on_decode: Callable[[], None] = lambda: None,
    ) -> NDArray[np.uint8] | None:
        """Decode an image again at full size if its answer may depend on reduced decoding.

        It may where the two likeliest labels are within the margin of the passport.

        Args:
            data: the encoded image.
            probabilities: (classes,) float32, calibrated, of the tensor that `tensor` made from the image.
            limits: size limits.
            on_decode: called before the image is decoded.

        Returns:
            (height, width, channels) uint8; None if the first answer is final.

        Raises:
            InputError: the image cannot be decoded at full size.
        """
        spec, preprocessing = self.passport.input, self.passport.preprocess
        second, first = np.sort(probabilities)[-2:].tolist()
        if first > second * self._margin_ratio(preprocess.MIN_PIXELS_PER_INPUT_PIXEL):
            return None
        pixels = preprocess.pixels_per_input_pixel(data, spec, preprocessing, limits)
        if first > second * self._margin_ratio(pixels):
            return None
        on_decode()
        return preprocess.tensor_from_bytes(data, spec, preprocessing, limits, full_scale=True)

    def frame_tensor(
        self, frame_bgr: NDArray[np.uint8], greys: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Return the (height, width, channels) uint8 input tensor of a camera frame; see `preprocess`."""
        return preprocess.tensor_from_frame(frame_bgr, self.passport.input, self.passport.preprocess, greys)

    def raw_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the output of the graph, (N, classes) float32, for (N, height, width, channels) uint8."""
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
        """Return the confidence of a label in a prediction, whether or not it is the likeliest."""
        group = next((group for group in self.passport.decision.groups if label in group), (label,))
        return min(1.0, sum(probability for name, probability in prediction.ranking if name in group))

    def decide(self, probabilities: NDArray[np.float32]) -> list[Prediction]:
        """Return one prediction for each row of (N, classes) calibrated probabilities."""
        labels = self.passport.labels
        order = np.argsort(-probabilities, axis=1, kind="stable")
        if self.passport.decision.known_class_weights:
            scores = known_class_score(probabilities, self.passport.decision.known_class_weights)
            probabilities = (probabilities * scores[:, np.newaxis]).astype(np.float32)
        matrix = self._group_matrix
        summed = probabilities if matrix is None else np.minimum(probabilities @ matrix, 1)
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


def _group_matrix(passport: Passport) -> NDArray[np.float32] | None:
    """Return (classes, classes) float32, ones where two labels share a group; None without groups."""
    if not passport.decision.groups:
        return None
    matrix = np.eye(len(passport.labels), dtype=np.float32)
    for group in passport.decision.groups:
        members = [passport.labels.index(label) for label in group]
        matrix[np.ix_(members, members)] = 1
    return matrix


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
