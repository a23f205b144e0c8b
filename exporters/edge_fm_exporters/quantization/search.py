"""Measure every int8 variant and select the fastest that stays within the limits.

Accuracy is measured on pictures that are neither calibrated on nor tested on; time on this machine, all files
in turn. A loss counts when its 95 % interval lies above the limit, so that a label that flips by chance among
few pictures refuses no file. When no variant holds, the layers that cost most accuracy stay in float, one
after the other; not for large images, where finding them would take minutes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import parity
from edge_fm_exporters.evidence import intervals
from edge_fm_exporters.graph import flip_ensemble, uint8_input
from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.quantization import effort, float_stem, static, strip
from edge_fm_exporters.quantization.static import Calibration, QuantizationSettings
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.artifact.session import OnnxSession

ROUNDS = 400
"""Timing rounds, at most; each runs one image through every file."""

_MIN_ROUNDS = 21
_TIMING_SECONDS = 6.0
"""Seconds after which no further timing round begins, but for the fewest."""

_NOISE = 0.05
_PROBED = 256
_MAX_FLOAT_LAYERS = 6


@dataclass(frozen=True)
class Int8Limits:
    """Largest loss that int8 may cause, and smallest speed-up that it must bring.

    A loss is above its limit when the whole of its 95 % interval is.

    Attributes:
        max_drop: accuracy that may be lost, in [0, 1].
        max_class_drop: recall that any class may lose, in [0, 1].
        min_speedup: how many times as fast as float32 it must be, for one picture.
    """

    max_drop: float = 0.003
    max_class_drop: float = 0.03
    min_speedup: float = 1.0


@dataclass(frozen=True)
class ClassDrop:
    """Recall that a class loses against the source.

    Attributes:
        index: index of the class.
        drop: recall lost, in [-1, 1].
        interval: 95 % interval of `drop`, paired by picture.
    """

    index: int
    drop: float
    interval: intervals.Interval


@dataclass(frozen=True)
class Candidate:
    """A file that could be the result, and what was measured of it.

    Attributes:
        name: how it was made.
        recipe: how it was quantised; None for float32.
        data: the file, without a passport.
        accuracy: in [0, 1]; None where the pictures have no classes.
        drop: accuracy lost against the source; labels that differ, where the pictures have no classes.
        drop_interval: 95 % interval of `drop`, paired by picture.
        worst_class: class whose loss of recall is surest, the one with the highest lower bound; None without
            classes.
        label_agreement: with the source, in [0, 1], on the validation images of the training if they are
            known, as many of each kind; else on the images that accuracy is measured on.
        latency_us: median for one picture, one thread.
        speedup: against float32.
        verdict: why it may not be used; empty if it may.
    """

    name: str
    recipe: QuantizationSettings | None
    data: bytes
    accuracy: float | None
    drop: float
    drop_interval: intervals.Interval
    worst_class: ClassDrop | None
    label_agreement: float
    latency_us: float = 0.0
    speedup: float = 1.0
    verdict: str = ""

    @property
    def kind(self) -> PrecisionKind:
        """The arithmetic."""
        return PrecisionKind.FP32 if self.recipe is None else PrecisionKind.INT8


@dataclass(frozen=True, kw_only=True)
class QuantizationInputs:
    """Graph and images of a search.

    Attributes:
        model: cleaned float32 graph with a float32 input.
        spec: input of the file.
        scale: scaling of the pixels that the graph leaves to its input.
        calibration: (N, height, width, channels) float32, scaled.
        selection: images to measure accuracy on, neither calibrated on nor tested on.
        expected: the source's probabilities for them, (N, classes) float32.
        nodes: names of the nodes to quantise; empty for all.
        float_nodes: names of nodes that stay in float32 in any case.
        flip_ensemble: whether the file answers with flip test-time augmentation.
        validation: images that the training validated on, (N, height, width, channels) uint8, with the
            source's probabilities, if there are any.
    """

    model: ModelProto
    spec: InputSpec
    scale: Scale
    calibration: NDArray[np.float32]
    selection: LabelledImages
    expected: NDArray[np.float32]
    nodes: tuple[str, ...] = ()
    float_nodes: tuple[str, ...] = ()
    flip_ensemble: bool = False
    validation: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None

    def file(self, network: ModelProto) -> bytes:
        """Return the file of a quantised network with its uint8 input."""
        network = strip.strip_redundant(float_stem.with_channels_last(network))
        network = flip_ensemble.ensemble_graph(network) if self.flip_ensemble else network
        return bytes(network.SerializeToString())


Listener = Callable[[str], None]
"""Told what is tried now."""


def search(
    fp32: bytes, inputs: QuantizationInputs, limits: Int8Limits, listener: Listener
) -> tuple[Candidate, ...]:
    """Return float32 and every way of quantising that was tried, measured and judged.

    Args:
        fp32: the float32 file.
        inputs: what to quantise, and pictures.
        limits: what int8 may cost.
        listener: called with what is tried.
    """
    found = [_measure("float32", None, fp32, inputs)]
    for recipe in _recipes(inputs):
        listener(recipe.name)
        found.append(_measure(recipe.name, recipe, inputs.file(build(recipe, inputs)), inputs))
    if not effort.is_large(inputs.spec) and all(_loss(candidate, limits) for candidate in found[1:]):
        found += _fall_back_to_float(found[1:], inputs, limits, listener)
    listener("timing")
    return tuple(_with_verdict(candidate, limits) for candidate in _time(found, inputs.spec.shape))


def best(candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the int8 file that holds and is fastest, else float32, which comes first.

    Of files that are equally fast within noise, it is the one that agrees most with its source: agreement
    separates files with fewer images than accuracy does.
    """
    passed = [candidate for candidate in candidates[1:] if not candidate.verdict]
    if not passed:
        return candidates[0]
    fastest = max(candidate.speedup for candidate in passed)
    return min(
        (candidate for candidate in passed if candidate.speedup >= (1 - _NOISE) * fastest),
        key=lambda candidate: (-candidate.label_agreement, candidate.drop),
    )


def _recipes(inputs: QuantizationInputs) -> list[QuantizationSettings]:
    """Return the ways of quantising to try; for large images those with a float stem, if there is one."""
    images = effort.calibration_images(inputs.spec)
    plain = [
        QuantizationSettings(calibration, float_nodes=inputs.float_nodes, images=images)
        for calibration in Calibration
    ]
    if inputs.nodes or not float_stem.nodes(inputs.model):
        return plain
    stemmed = [replace(recipe, float_stem=True) for recipe in plain]
    return stemmed if effort.is_large(inputs.spec) else plain + stemmed


def build(recipe: QuantizationSettings, inputs: QuantizationInputs) -> ModelProto:
    """Return the quantised network of a recipe, with its uint8 input."""
    model = static.quantize(inputs.model, inputs.calibration, recipe, inputs.nodes)
    if recipe.float_stem:
        return float_stem.with_uint8_input(model, float_stem.nodes(inputs.model), inputs.spec, inputs.scale)
    if uint8_input.begins_quantized(model) and inputs.scale.single:
        return uint8_input.quantized_with_uint8_input(model, inputs.spec, inputs.scale)
    return uint8_input.with_uint8_input(model, inputs.spec, inputs.scale)


def _measure(
    name: str, recipe: QuantizationSettings | None, data: bytes, inputs: QuantizationInputs
) -> Candidate:
    session = OnnxSession(data)
    own = session.run(inputs.selection.images).argmax(axis=1)
    source, labels = inputs.expected.argmax(axis=1), inputs.selection.labels
    drop, interval = parity.label_loss(source, own, labels)
    same = own == source
    if inputs.validation is not None:
        images, expected = inputs.validation
        same = session.run(images).argmax(axis=1) == expected.argmax(axis=1)
    return Candidate(
        name,
        recipe,
        data,
        float(np.mean(own == labels)) if labels is not None else None,
        drop,
        interval,
        _worst_class(source, own, labels) if labels is not None else None,
        float(np.mean(same)),
    )


def _worst_class(source: NDArray[np.int64], own: NDArray[np.int64], labels: NDArray[np.int64]) -> ClassDrop:
    drops = [
        ClassDrop(int(label), *parity.label_loss(source[part], own[part], labels[part]))
        for label in np.unique(labels)
        for part in [labels == label]
    ]
    return max(drops, key=lambda lost: (lost.interval[0], lost.drop))


def _loss(candidate: Candidate, limits: Int8Limits) -> str:
    """Return which limit on accuracy a candidate misses beyond chance, empty if none."""
    worst = candidate.worst_class
    if candidate.drop_interval[0] > limits.max_drop:
        lost = parity.describe_loss(candidate.drop, candidate.drop_interval)
        return f"loses {lost}, all of it above the limit {limits.max_drop:g} (--max-drop)"
    if worst is not None and worst.interval[0] > limits.max_class_drop:
        lost = parity.describe_loss(worst.drop, worst.interval)
        return f"a class loses {lost}, all of it above the limit {limits.max_class_drop:g} (--max-class-drop)"
    return ""


def _fall_back_to_float(
    tried: list[Candidate], inputs: QuantizationInputs, limits: Int8Limits, listener: Listener
) -> list[Candidate]:
    """Give layers back to float, the one that hurts most first, until a file holds."""
    start = min(tried, key=lambda candidate: candidate.drop).recipe or QuantizationSettings()
    found: list[Candidate] = []
    layers = _by_sensitivity(start, inputs, listener)
    for count in range(1, min(len(layers), _MAX_FLOAT_LAYERS + 1)):  # at least one stays in int8
        recipe = replace(start, float_nodes=(*inputs.float_nodes, *layers[:count]))
        listener(recipe.name)
        found.append(_measure(recipe.name, recipe, inputs.file(build(recipe, inputs)), inputs))
        if not _loss(found[-1], limits):
            break
    return found


def _by_sensitivity(
    recipe: QuantizationSettings, inputs: QuantizationInputs, listener: Listener
) -> list[str]:
    """Return the weighted layers, most sensitive to quantisation first."""
    stem_nodes = float_stem.nodes(inputs.model) if recipe.float_stem else ()
    layers = [
        node.name
        for node in inputs.model.graph.node
        if node.op_type in static.WEIGHTED
        and node.name not in {*stem_nodes, *inputs.float_nodes}
        and (not inputs.nodes or node.name in inputs.nodes)
    ]
    images, expected = inputs.selection.images[:_PROBED], inputs.expected[:_PROBED]
    harm = {}
    for name in layers:
        listener(f"{name} alone")
        others = (*inputs.float_nodes, *(other for other in layers if other != name))
        data = inputs.file(build(replace(recipe, float_nodes=others), inputs))
        harm[name] = float(np.abs(OnnxSession(data).run(images) - expected).mean())
    return sorted(layers, key=lambda name: -harm[name])


def _time(candidates: list[Candidate], shape: tuple[int, int, int]) -> list[Candidate]:
    """Time one picture through all files in turn, so that noise hits all alike."""
    sessions = [OnnxSession(candidate.data) for candidate in candidates]
    picture = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    times: list[list[float]] = [[] for _ in sessions]
    end = time.perf_counter() + _TIMING_SECONDS
    for done in range(ROUNDS):
        if done >= _MIN_ROUNDS and time.perf_counter() > end:
            break
        for session, taken in zip(sessions, times, strict=True):
            session.run(picture)  # the first call after another file's finds cold caches
            started = time.perf_counter()
            session.run(picture)
            taken.append(time.perf_counter() - started)
    medians = [median(taken) * 1e6 for taken in times]
    return [
        replace(candidate, latency_us=took, speedup=medians[0] / took)
        for candidate, took in zip(candidates, medians, strict=True)
    ]


def _with_verdict(candidate: Candidate, limits: Int8Limits) -> Candidate:
    if candidate.recipe is None:
        return candidate
    verdict = _loss(candidate, limits)
    if not verdict and candidate.speedup < limits.min_speedup:
        verdict = (
            f"{candidate.speedup:.2f} times as fast, the least is {limits.min_speedup:g} (--min-speedup)"
        )
    return replace(candidate, verdict=verdict)
