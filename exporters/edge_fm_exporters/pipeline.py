"""The way of a model: source -> graph -> (int8) -> verify -> passport -> file."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import parity, passport_writer
from edge_fm_exporters.graph import cleanup, editing, flip_ensemble, uint8_input
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.normalization.search import find_scale
from edge_fm_exporters.parity import VerifiedGraph
from edge_fm_exporters.quantization import search, static
from edge_fm_exporters.quantization.search import Candidate, Int8Limits
from edge_fm_exporters.request import ExportData, ExportRequest, ExportResult, ResolvedExport
from edge_fm_exporters.sources import keras, sklearn
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.passport import Evidence, Precision, PrecisionKind
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.errors import ExportError, ModelError, OutputError

_NOISE_IMAGES = 256


def export(
    request: ExportRequest,
    data: ExportData | None,
    source: SourceModel | None = None,
    listener: search.Listener = lambda _what: None,
) -> ExportResult:
    """Convert, clean, quantise if asked, verify, stamp; the file appears only when all went well.

    Args:
        request: what to export.
        data: pictures to calibrate and to measure on.
        source: the model, if it has been read already.
        listener: told which int8 is tried.

    Raises:
        ModelError: the source cannot be used, or the labels do not fit it.
        ExportError: the conversion failed, or float32 does not answer as the source did.
        OutputError: the file cannot be written.
    """
    _check_output(request.output)
    single = source or load_source(request.source)
    source = flip_ensemble.ensemble_source(single) if request.mirrored else single
    labels = request.labels or source.names
    _check_fits(request, labels, source, data)
    training = data.training if data is not None else None
    scale, scale_scores = find_scale(source, training) if request.scale is None else (request.scale, ())
    order = ResolvedExport(request, source, labels, scale)
    float_graph, inner = cleanup.without_scaling(cleanup.clean(source.convert(request.opset)), scale)
    pictures = data.test if data is not None else _noise(source)
    expected = source.predict(scale.applied(pictures.images))
    network = uint8_input.with_uint8_input(float_graph, source.spec, inner)
    network = flip_ensemble.ensemble_graph(network) if request.mirrored else network
    fp32 = parity.verify_graph(network, Precision(), expected, pictures)
    lacking = parity.shortfall(
        PrecisionKind.FP32, fp32.comparison, request.limits.max_drop, source.max_difference
    )
    if lacking:
        raise ExportError(f"the float32 file does not answer as its source: {lacking}. Nothing was written")
    chosen, kept_fp32 = fp32, ""
    tried: tuple[Candidate, ...] = ()
    if request.int8 and data is not None:
        tried = _search(fp32.data, (float_graph, inner), order, data, listener)
        chosen, kept_fp32 = _chosen(tried, fp32, expected, data, request.limits)
    stamped, passport = passport_writer.write_passport(chosen, order, data, pictures)
    right, seen = parity.labels_from_bytes(stamped, chosen.comparison, pictures)
    if right < seen:
        raise ExportError(
            f"from file bytes on, {seen - right} of {seen} pictures get another label than from their tensors: "
            "preprocessing and model do not fit together. Nothing was written"
        )
    write(request.output, stamped)
    return ExportResult(
        passport,
        len(stamped),
        len(passport_writer.with_passport(fp32.data, passport, request.batch)),
        kept_fp32,
        scale_scores,
        tried,
        _choice(data).name if data is not None else "",
        parity.flips(chosen.comparison, pictures),
        seen,
        _mirrored(single, source, scale, data),
    )


def load_source(path: Path) -> SourceModel:
    """Read a trained classifier of any kind that is known, by the file's suffix.

    Raises:
        ModelError: it cannot be used.
    """
    return sklearn.load(path) if path.suffix in sklearn.SUFFIXES else keras.load(path)


def _check_output(path: Path) -> None:
    if path.suffix != ".onnx":
        raise OutputError(f"{path} does not end in .onnx")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"the folder {path.parent} does not exist or cannot be written: choose another one with -o"
        )


def _check_fits(
    request: ExportRequest, labels: tuple[str, ...], source: SourceModel, data: ExportData | None
) -> None:
    if not labels:
        raise ExportError(
            f"{request.source} does not say what its outputs mean: give --labels A,B,... or --data DATA"
        )
    if len(labels) != source.classes:
        raise ModelError(
            f"{request.source} has {source.classes} outputs and {len(labels)} labels were given "
            f"({', '.join(labels)}): give one label for each output"
        )
    if data is None:
        if request.int8:
            raise ExportError(
                "int8 needs pictures to calibrate on: give --data DATA, or export without --int8"
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


def _choice(data: ExportData) -> LabelledImages:
    """Return what int8 is chosen on: never the test part."""
    return data.choice or data.training or LabelledImages(data.name, "calibration", data.calibration, None)


def _search(
    fp32: bytes,
    bare: tuple[editing.ModelProto, Scale],
    order: ResolvedExport,
    data: ExportData,
    listener: search.Listener,
) -> tuple[Candidate, ...]:
    pictures = _choice(data)
    watched = data.validation.images if data.validation is not None else None
    calibration = data.calibration[: static.CALIBRATION_IMAGES]
    material = search.QuantizationInputs(
        bare[0],
        order.source.spec,
        bare[1],
        bare[1].applied(calibration),
        pictures,
        order.source.predict(order.scale.applied(pictures.images)),
        order.source.quantizable,
        order.request.mirrored,
        (watched, order.source.predict(order.scale.applied(watched))) if watched is not None else None,
    )
    return search.search(fp32, material, order.request.limits, listener)


def _chosen(
    tried: tuple[Candidate, ...],
    fp32: VerifiedGraph,
    expected: NDArray[np.float32],
    data: ExportData,
    limits: Int8Limits,
) -> tuple[VerifiedGraph, str]:
    """Return what is written, and why it is not int8; the test part only confirms what was chosen without it."""
    best = search.best(tried)
    if best.recipe is None:
        nearest = min(tried[1:], key=lambda candidate: (candidate.drop, -candidate.speedup))
        return fp32, f"{nearest.name} comes nearest and {nearest.verdict}"
    precision = Precision(PrecisionKind.INT8, best.recipe.settings)
    own = VerifiedGraph(best.data, precision, parity.compare(expected, OnnxSession(best.data), data.test))
    lacking = parity.shortfall(PrecisionKind.INT8, own.comparison, limits.max_drop)
    return (fp32, f"{best.name}, on the test part: {lacking}") if lacking else (own, "")


def _mirrored(
    single: SourceModel, both: SourceModel, scale: Scale, data: ExportData | None
) -> tuple[float, float] | None:
    if both is single or data is None or (pictures := _choice(data)).labels is None:
        return None
    images = scale.applied(pictures.images)
    alone, together = (
        float(np.mean(model.predict(images).argmax(axis=1) == pictures.labels)) for model in (single, both)
    )
    return alone, together


def _noise(source: SourceModel) -> LabelledImages:
    """Without data, parity is still measured: on noise."""
    images = np.random.default_rng(0).integers(0, 256, (_NOISE_IMAGES, *source.spec.shape), np.uint8)
    return LabelledImages("noise", "drawn", images, None)


def write(path: Path, data: bytes) -> None:
    """Put a file in place when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


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
