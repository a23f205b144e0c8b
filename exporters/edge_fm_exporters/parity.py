"""Measure an exported file against its source, on the same images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.evidence import intervals
from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_runtime.artifact.input_spec import Polarity, Preprocess
from edge_fm_runtime.artifact.passport import MAX_ROUNDING, Evidence, Precision
from edge_fm_runtime.artifact.session import OnnxSession, Session
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From uint8 images to probabilities (N, classes)."""

FP32_MAX_DIFFERENCE = 1e-5
"""Largest difference of a probability that a float32 export may show."""

FP32_MIN_AGREEMENT = 0.9999
"""Smallest fraction of images with the source's label, or one as likely within float32 error."""

ROUNDING_IMAGES = 16
"""Images on which the effect of float32 rounding is measured."""

_PERTURBATIONS = 3
_ROUNDING_FACTOR = 4
_ULP = 2.0**-23

NOISE = "noise"
"""Name of the images where an export has no data."""

FROM_BYTES = 200
"""How many pictures are given to the finished file as encoded bytes."""

_BATCH_BYTES = 2**24

_SMALLEST = (cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED)
"""How OpenCV writes 28x28 pixels in the fewest bytes: golden pictures are a tenth of a small file."""


@dataclass(frozen=True)
class Comparison:
    """Evidence, with what it was computed from: (N, classes) float32 each."""

    evidence: Evidence
    source: NDArray[np.float32]
    own: NDArray[np.float32]


@dataclass(frozen=True)
class Flip:
    """An image whose label differs between file and source; labels are indices."""

    index: int
    true: int | None
    source: int
    own: int
    source_probability: float
    own_probability: float


def compare(source: NDArray[np.float32], session: Session, pictures: LabelledImages) -> Comparison:
    """Run the file on the pictures and compare with the source's probabilities for them."""
    own = np.concatenate([session.run(part) for part in _batches(pictures.images)])
    source_labels, own_labels = source.argmax(axis=1), own.argmax(axis=1)
    evidence = Evidence(
        data=pictures.name,
        split=pictures.split,
        images=len(own),
        source_accuracy=_accuracy(source_labels, pictures.labels),
        accuracy=_accuracy(own_labels, pictures.labels),
        label_agreement=float(np.mean(source_labels == own_labels)),
        max_probability_difference=min(1.0, float(_difference(source, own))),
    )
    return Comparison(evidence, source, own)


def label_loss(
    source: NDArray[np.int64], own: NDArray[np.int64], labels: NDArray[np.int64] | None
) -> tuple[float, intervals.Interval]:
    """Return the accuracy that a file loses against its source, with its 95 % interval.

    Without labels it is the share of the pictures that get another label.

    Args:
        source: (N,) predicted classes of the source.
        own: (N,) predicted classes of the file.
        labels: (N,) true classes, if they are known.
    """
    count = len(source)
    if labels is None:
        differ = int(np.sum(source != own))
        return differ / count, intervals.wilson(differ, count)
    lost = int(np.sum((source == labels) & (own != labels)))
    gained = int(np.sum((source != labels) & (own == labels)))
    return (lost - gained) / count, intervals.paired_difference(lost, gained, count)


def describe_loss(lost: float, interval: intervals.Interval) -> str:
    """Return a loss with its interval, as the table of candidates shows it."""
    return f"{lost:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _batches(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return images in batches of bounded memory, large ones few at a time."""
    size = max(1, min(1024, _BATCH_BYTES // max(1, images[0].nbytes))) if len(images) else 1
    return [images[start : start + size] for start in range(0, max(1, len(images)), size)]


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest difference; two answers that are both not a number are alike."""
    difference = np.abs(first - second)
    difference[np.isnan(first) & np.isnan(second)] = 0
    return float(np.nan_to_num(difference, nan=1.0).max())


def rounding(
    file: "VerifiedGraph",
    images: NDArray[np.uint8],
    predict: Predict,
    predict_float64: Predict | None = None,
) -> float:
    """Estimate how far float32 rounding alone moves a network's probabilities.

    It is measured on the images whose answers differ most between source and file, and is four times the
    largest change among: the source in float64 against float32, on one image against a batch, and the file
    with every weight moved by about a unit in its last place, up or down at random; at most MAX_ROUNDING.

    Args:
        file: the file, compared with its source on `images`.
        images: (N, height, width, channels) uint8.
        predict: the source, from uint8 images to probabilities (N, classes).
        predict_float64: the same in float64, where the source can compute so.
    """
    comparison = file.comparison
    differences = np.nan_to_num(np.abs(comparison.source - comparison.own)).max(axis=1)
    chosen = images[np.argsort(-differences, kind="stable")[:ROUNDING_IMAGES]]
    batch = predict(chosen)
    answers = [np.concatenate([predict(chosen[index : index + 1]) for index in range(len(chosen))])]
    if predict_float64 is not None:
        answers.append(predict_float64(chosen))
    largest = max(_difference(batch, other) for other in answers)
    own = OnnxSession(file.data).run(chosen)
    for seed in range(_PERTURBATIONS):
        moved = OnnxSession(_perturbed(file.data, seed)).run(chosen)
        largest = max(largest, _difference(own, moved))
    return min(_ROUNDING_FACTOR * largest, MAX_ROUNDING)


def _perturbed(data: bytes, seed: int) -> bytes:
    """Return the model with every float32 weight moved by about a unit in its last place."""
    import onnx
    from onnx import TensorProto, numpy_helper

    rng = np.random.default_rng(seed)
    moved = onnx.load_from_string(data)
    for tensor in moved.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float64)
            values = values * (1 + rng.choice([-_ULP, _ULP], size=values.shape))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return bytes(moved.SerializeToString())


def flips(comparison: Comparison, pictures: LabelledImages) -> tuple[Flip, ...]:
    """Return the pictures to which the file gives another label than its source."""
    source, own = comparison.source.argmax(axis=1), comparison.own.argmax(axis=1)
    return tuple(
        Flip(
            int(index),
            None if pictures.labels is None else int(pictures.labels[index]),
            int(source[index]),
            int(own[index]),
            float(comparison.source[index].max()),
            float(comparison.own[index].max()),
        )
        for index in np.flatnonzero(source != own)
    )


def fp32_shortfall(
    comparison: Comparison, max_difference: float = FP32_MAX_DIFFERENCE, rounding: float = 0.0
) -> str:
    """Return in a sentence how a float32 file misses its source's numbers, empty if it does not.

    Args:
        comparison: of the two.
        max_difference: difference of a probability that it may show.
        rounding: effect of float32 rounding on a probability of this source, as `rounding` estimates it.
    """
    evidence = comparison.evidence
    max_difference = max(max_difference, rounding)
    if evidence.max_probability_difference > max_difference:
        return (
            f"probabilities differ by up to {evidence.max_probability_difference:.2g}, "
            f"the limit is {max_difference:g}"
        )
    agreement = _agreement_but_for_ties(comparison, max(FP32_MAX_DIFFERENCE, rounding))
    if agreement < FP32_MIN_AGREEMENT:
        return f"labels agree on {agreement:.4%}, the limit is {FP32_MIN_AGREEMENT:.2%}"
    return ""


def int8_shortfall(comparison: Comparison, labels: NDArray[np.int64] | None, max_drop: float) -> str:
    """Return in a sentence how an int8 file misses its source's accuracy, empty if it does not.

    Args:
        comparison: of the two.
        labels: classes of the images, if they are known.
        max_drop: accuracy that may be lost, in [0, 1]; without labels, share of the labels that may differ.
            It is missed when the whole 95 % interval of the loss is above it.
    """
    what = "labels that differ" if labels is None else "accuracy lost"
    lost, interval = label_loss(comparison.source.argmax(axis=1), comparison.own.argmax(axis=1), labels)
    if interval[0] <= max_drop:
        return ""
    return f"{what}: {describe_loss(lost, interval)}, all of it above the limit {max_drop:g}"


def _agreement_but_for_ties(comparison: Comparison, rounding: float) -> float:
    """Return the fraction of images with the source's label, or one as likely within float32 error."""
    source, own = comparison.source, comparison.own
    given = source[np.arange(len(source)), own.argmax(axis=1)]
    no_numbers = np.isnan(source).any(axis=1) & np.isnan(own).any(axis=1)
    return float(np.mean(no_numbers | (given >= source.max(axis=1) - 2 * rounding)))


def _accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else float(np.mean(answers == labels))


@dataclass(frozen=True)
class VerifiedGraph:
    """A graph that could be the result, compared with its source."""

    data: bytes
    precision: Precision
    comparison: Comparison


def verify_graph(
    model: ModelProto, precision: Precision, expected: NDArray[np.float32], pictures: LabelledImages
) -> VerifiedGraph:
    """Return a graph compared with its source's answers for the pictures."""
    data = model.SerializeToString()
    return VerifiedGraph(data, precision, compare(expected, OnnxSession(data), pictures))


def as_png(image: NDArray[np.uint8], recipe: Preprocess, *, is_kept: bool = True) -> bytes:
    """Return a PNG that the device turns into this (H, W, C) uint8 RGB input.

    Args:
        image: the input.
        recipe: the preprocessing.
        is_kept: whether it is worth twenty times the time to be a tenth smaller.
    """
    seen = 255 - image if recipe.polarity is Polarity.INVERT else image
    pixels = seen if image.shape[2] == 1 else cv2.cvtColor(seen, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", pixels, _SMALLEST if is_kept else ())[1].tobytes())


def labels_from_bytes(data: bytes, comparison: Comparison, pictures: LabelledImages) -> tuple[int, int]:
    """Return (matching, tried): images that get their tensor's label from encoded bytes.

    Raises:
        ModelError: the runtime refuses the file.
    """
    classifier = Classifier.from_bytes(data)
    labels = classifier.passport.labels
    chosen = np.linspace(0, len(pictures.images) - 1, min(FROM_BYTES, len(pictures.images))).astype(int)
    right = 0
    for index in chosen:
        encoded = as_png(pictures.images[index], classifier.passport.preprocess, is_kept=False)
        label = classifier.classify(encoded).label
        row = comparison.own[index]
        right += row[labels.index(label)] >= row.max() - classifier.passport.precision.tolerance
    return int(right), len(chosen)
