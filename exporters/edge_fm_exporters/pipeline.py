"""A model's way through an export: source -> graph -> (int8) -> passport -> verify -> file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import parity, passport_writer, sources
from edge_fm_exporters.evidence import findings
from edge_fm_exporters.evidence.findings import MeasuredAccuracy, QualityFinding
from edge_fm_exporters.graph import cleanup, colour_order, flip_ensemble, uint8_input
from edge_fm_exporters.graph.editing import ModelProto
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.parity import Comparison, VerifiedGraph
from edge_fm_exporters.quantization import effort, search
from edge_fm_exporters.quantization.search import Candidate
from edge_fm_exporters.request import ExportData, ExportRequest, ExportResult, ResolvedExport
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.passport import Evidence, Passport, Precision, PrecisionKind
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.batch.outputs.atomic import atomic
from edge_fm_runtime.errors import ExportError, ModelError, OutputError

_NOISE_IMAGES = 256
_NOISE_BYTES = 2**23
_NOISE_GRAINS = (1, 4, 16)


@dataclass(frozen=True)
class _Float32Stage:
    """The verified float32 file, with what int8 starts from.

    Attributes:
        file: verified float32 file, without a passport.
        graph: cleaned float32 graph with a float32 input, without the scaling of its pixels.
        scale: scaling of the pixels that the graph leaves to its input.
        images: images that it was compared on.
        expected: the source's probabilities for them, (N, classes) float32.
    """

    file: VerifiedGraph
    graph: ModelProto
    scale: Scale
    images: LabelledImages
    expected: NDArray[np.float32]


@dataclass(frozen=True)
class _Int8Stage:
    """File to write after int8, every candidate, and why float32 was kept, if it was."""

    file: VerifiedGraph
    candidates: tuple[Candidate, ...] = ()
    kept_fp32: str = ""


def export(
    request: ExportRequest,
    data: ExportData | None,
    source: SourceModel | None = None,
    listener: search.Listener = lambda _step: None,
) -> ExportResult:
    """Export a model: source -> graph -> (int8) -> passport -> verify -> file.

    Args:
        request: what to export.
        data: images to calibrate and to measure on; None measures parity on noise.
        source: the model, if it has been read already.
        listener: called with the step that begins.

    Raises:
        ModelError: the source cannot be used, or the labels do not fit it.
        ExportError: the conversion failed, or float32 does not answer as the source does.
        OutputError: the file cannot be written.
    """
    check_output(request.output, request.source)
    export = _resolve(request, data, source or sources.load(request.source))
    float32 = _float32(export, data)
    int8 = _int8(export, float32, data, listener)
    stamped, passport, verified = finish(int8.file, export, data, float32.images)
    return ExportResult(
        passport=passport,
        size_bytes=len(stamped),
        fp32_size_bytes=len(passport_writer.with_passport(float32.file.data, passport, request.batch)),
        kept_fp32=int8.kept_fp32,
        candidates=int8.candidates,
        selected_on=_selection(data).name if data is not None else "",
        measured=_measured(int8.file.comparison, float32.images),
        findings=_findings(int8.file.comparison, float32.images, export.labels),
        flips=parity.flips(int8.file.comparison, float32.images),
        from_bytes=verified,
        flip_accuracy=_flip_accuracy(export, data) if request.flip_ensemble and data is not None else None,
    )


def finish(
    file: VerifiedGraph, export: ResolvedExport, data: ExportData | None, images: LabelledImages
) -> tuple[bytes, Passport, int]:
    """Write a verified graph with its passport; onnx is needed only for a fixed batch size.

    Returns:
        The file, its passport, and how many images, decoded from bytes, got the label of their tensors.

    Raises:
        ExportError: some do not.
        OutputError: the file cannot be written.
    """
    stamped, passport = passport_writer.write_passport(file, export, data, images)
    verified = _verify_from_bytes(stamped, file, images)
    write(export.request.output, stamped)
    return stamped, passport, verified


def _resolve(request: ExportRequest, data: ExportData | None, source: SourceModel) -> ResolvedExport:
    """Return the request with its labels and the model to answer as."""
    labels = request.labels or source.names
    ensemble = flip_ensemble.ensemble_source(source) if request.flip_ensemble else source
    _check_fits(request, labels, ensemble, data)
    return ResolvedExport(request=request, source=ensemble, single=source, labels=labels, scale=request.scale)


def _float32(export: ResolvedExport, data: ExportData | None) -> _Float32Stage:
    """Convert, clean, give the graph its uint8 input, and hold its answers to the source's.

    Raises:
        ExportError: they differ.
    """
    source, request = export.source, export.request
    cleaned = cleanup.clean(source.convert(request.opset))
    graph, inner = colour_order.in_rgb(*cleanup.without_scaling(cleaned, export.scale))
    images = data.test if data is not None else _noise(source)
    expected = source.predict(export.scale.apply(images.images))
    network = uint8_input.with_uint8_input(graph, source.spec, inner)
    if request.flip_ensemble:
        network = flip_ensemble.ensemble_graph(network)
    file = parity.verify_graph(network, Precision(), expected, images)
    usual = max(source.max_difference, source.rounding)
    if file.comparison.evidence.max_probability_difference > usual:
        file = _with_rounding(file, images.images, export)
    shortfall = parity.fp32_shortfall(
        file.comparison,
        source.max_difference,
        max(file.precision.rounding, source.rounding),
    )
    if shortfall:
        raise ExportError(f"the float32 file does not answer as its source: {shortfall}. Nothing was written")
    return _Float32Stage(file, graph, inner, images, expected)


def _with_rounding(file: VerifiedGraph, images: NDArray[np.uint8], export: ResolvedExport) -> VerifiedGraph:
    """Return the file with the effect of float32 rounding on its source's own answers."""
    source, scale = export.source, export.scale
    exact = source.predict_float64
    rounding = parity.rounding(
        file,
        images,
        lambda part: source.predict(scale.apply(part)),
        (lambda part: exact(scale.apply(part))) if exact is not None else None,
    )
    return replace(file, precision=replace(file.precision, rounding=rounding))


def _int8(
    export: ResolvedExport, float32: _Float32Stage, data: ExportData | None, listener: search.Listener
) -> _Int8Stage:
    """Quantise if asked; the test part only confirms the candidate that was selected without it."""
    limits = export.request.limits
    if not export.request.int8 or data is None:
        return _Int8Stage(float32.file)
    candidates = search.search(
        float32.file.data, _quantization_inputs(export, float32, data), limits, listener
    )
    best = search.best(candidates)
    if best.recipe is None:
        nearest = min(candidates[1:], key=lambda candidate: (candidate.drop, -candidate.speedup))
        return _Int8Stage(float32.file, candidates, f"{nearest.name} comes nearest and {nearest.verdict}")
    precision = Precision(PrecisionKind.INT8, best.recipe.settings, float32.file.precision.rounding)
    comparison = parity.compare(float32.expected, OnnxSession(best.data), data.test)
    shortfall = parity.int8_shortfall(comparison, data.test.labels, limits.max_drop)
    if shortfall:
        return _Int8Stage(float32.file, candidates, f"{best.name}, on the test part: {shortfall}")
    return _Int8Stage(VerifiedGraph(best.data, precision, comparison), candidates)


def _quantization_inputs(
    export: ResolvedExport, float32: _Float32Stage, data: ExportData
) -> search.QuantizationInputs:
    source, scale, selection = export.source, export.scale, effort.selection_part(_selection(data))
    calibrated = effort.calibration_images(source.spec)
    validation = data.validation.images if data.validation is not None else None
    return search.QuantizationInputs(
        model=float32.graph,
        spec=source.spec,
        scale=float32.scale,
        calibration=float32.scale.apply(data.calibration[:calibrated]),
        selection=selection,
        expected=source.predict(scale.apply(selection.images)),
        nodes=source.quantizable,
        float_nodes=source.float_nodes,
        flip_ensemble=export.request.flip_ensemble,
        validation=(validation, source.predict(scale.apply(validation))) if validation is not None else None,
    )


def _verify_from_bytes(stamped: bytes, file: VerifiedGraph, images: LabelledImages) -> int:
    """Return how many images, decoded from bytes by the runtime, get the label of their tensors: all.

    Raises:
        ExportError: some do not.
    """
    right, seen = parity.labels_from_bytes(stamped, file.comparison, images)
    if right < seen:
        raise ExportError(
            f"{seen - right} of {seen} images get another label from their file bytes than from their tensors: "
            "preprocessing and model do not fit together. Nothing was written"
        )
    return seen


def _measured(comparison: Comparison, images: LabelledImages) -> MeasuredAccuracy | None:
    """Return the accuracy of the file that is written; None without class labels."""
    if images.labels is None:
        return None
    return MeasuredAccuracy.of(comparison.own.argmax(axis=1), images.labels)


def _findings(
    comparison: Comparison, images: LabelledImages, names: tuple[str, ...]
) -> tuple[QualityFinding, ...]:
    """Return what makes the file that is written look untrained or fed wrongly.

    Many sound networks give all noise the same label, so that noise shows only numbers that are none.
    """
    if images.name == parity.NOISE:
        return findings.judge_numbers(comparison.own)
    data = f"{images.name} ({images.split})"
    return findings.judge_answers(comparison.own, images.labels, names, data)


def _flip_accuracy(export: ResolvedExport, data: ExportData) -> tuple[float, float] | None:
    """Return the source's accuracy without and with flip averaging; None without class labels."""
    selection = _selection(data)
    if selection.labels is None:
        return None
    images = export.scale.apply(selection.images)
    single, ensemble = (
        float(np.mean(model.predict(images).argmax(axis=1) == selection.labels))
        for model in (export.single, export.source)
    )
    return single, ensemble


def check_output(path: Path, source: Path) -> None:
    """Refuse an output that cannot be written, or that is the model itself.

    Raises:
        OutputError: it is one of these.
    """
    if path.suffix != ".onnx":
        raise OutputError(f"{path} does not end in .onnx")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"the folder {path.parent} does not exist or cannot be written: choose another one with -o"
        )
    if path.exists() and source.exists():
        model = sources.identify(source).path
        if any(path.samefile(file) for file in (model, *model.rglob("*"))):
            raise OutputError(f"{path} is the model that is to be exported: choose another file with -o")


def check_labels(path: Path, labels: tuple[str, ...], classes: int) -> None:
    """Refuse labels that are not one for each output.

    Raises:
        ModelError: there are more or fewer.
    """
    if len(labels) != classes:
        raise ModelError(
            f"{path} has {classes} outputs and {len(labels)} labels were given ({', '.join(labels)}): give one label for "
            "each output"
        )


def _check_fits(
    request: ExportRequest, labels: tuple[str, ...], source: SourceModel, data: ExportData | None
) -> None:
    if not labels:
        raise ExportError(
            f"{request.source} does not say what its outputs mean: give --labels A,B,... or --data DATA"
        )
    check_labels(request.source, labels, source.classes)
    if data is None:
        if request.int8:
            raise ExportError(
                "int8 needs pictures to calibrate on: give --data DATA, or --calibration FOLDER, or export without --int8"
            )
        return
    if data.test.images.shape[1:] != source.spec.shape:
        raise ModelError(
            f"{request.source} takes pictures of {source.spec.shape}, and {data.name} has {data.test.images.shape[1:]}"
        )
    if data.test.labels is not None and data.test.labels.max() >= source.classes:
        raise ModelError(
            f"{data.name} has {data.test.labels.max() + 1} classes, {request.source} {source.classes}"
        )


def _selection(data: ExportData) -> LabelledImages:
    """Return the images that int8 is selected on, never the test part."""
    return data.selection or LabelledImages(data.name, "calibration", data.calibration, None)


def _noise(source: SourceModel) -> LabelledImages:
    """Return noise of fine and coarse grain to measure parity on; fewer images where they are large."""
    height, width, channels = source.spec.shape
    count = max(2 * parity.ROUNDING_IMAGES, min(_NOISE_IMAGES, _NOISE_BYTES // (height * width * channels)))
    rng = np.random.default_rng(0)
    images = np.empty((count, height, width, channels), np.uint8)
    for index in range(count):
        grain = _NOISE_GRAINS[index % len(_NOISE_GRAINS)]
        coarse = rng.integers(0, 256, (-(-height // grain), -(-width // grain), channels), np.uint8)
        images[index] = coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    return LabelledImages(parity.NOISE, "drawn", images, None)


def write(path: Path, data: bytes) -> None:
    """Write a file; it appears under its name only when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic(path) as partial:
        partial.write_bytes(data)


def evidence_line(evidence: Evidence) -> str:
    """Return evidence as a sentence."""
    accuracy = (
        ""
        if evidence.accuracy is None
        else f"accuracy {evidence.accuracy:.4f} (source {evidence.source_accuracy:.4f}), "
    )
    return (
        f"{accuracy}labels agree on {evidence.label_agreement:.2%}, largest probability difference "
        f"{evidence.max_probability_difference:.2g}, on {evidence.images:,} images of {evidence.data} ({evidence.split})"
    )
