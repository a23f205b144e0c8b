"""The way of a model: source -> graph -> (int8) -> verify -> passport -> file."""

import datetime as dt
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import decision, graph, int8, keras, quantize, scales, sklearn, verify
from edge_fm_exporters.decision import Validation
from edge_fm_exporters.int8 import Candidate, Limits
from edge_fm_exporters.source import Scale, SourceModel
from edge_fm_exporters.verify import Comparison, Flip, Pictures
from edge_fm_runtime import onnxfile, preprocess
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ExportError, ModelError, OutputError
from edge_fm_runtime.opencv import cv2
from edge_fm_runtime.passport import (
    KEY,
    Decision,
    Evidence,
    Golden,
    Passport,
    Polarity,
    Precision,
    PrecisionKind,
    Preprocess,
    Provenance,
    Translation,
)
from edge_fm_runtime.session import OnnxSession

DEFAULT_OPSET = 17
DEFAULT_COVERAGE = 0.95
_DEFAULT_RECIPE = Preprocess()
_GOLDEN_INPUTS = 8
_NOISE_IMAGES = 256
_USUAL_LIMITS = Limits()


@dataclass(frozen=True)
class ExportData:
    """Pictures for an export.

    Attributes:
        name: of the data set.
        licence: of the pictures.
        calibration: (N, height, width, channels) uint8 from the training part, for int8.
        test: what the file is measured on.
        validation: what temperature and threshold are fitted on, if anything.
        training: pictures with classes from the training part, on which an unknown scale is found.
        choice: pictures that are neither calibrated on nor tested on, on which int8 is chosen; None takes `training`.
    """

    name: str
    licence: str
    calibration: NDArray[np.uint8]
    test: Pictures
    validation: Validation | None = None
    training: Pictures | None = None
    choice: Pictures | None = None


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and what a plain model file does not say about itself.

    Attributes:
        source: a `.keras`, `.h5` or `.skops` file.
        output: the `.onnx` file to write.
        labels: class names in output order; None where the source names them.
        scale: what the network's pixels were in training; None has the likely ones tried on training pictures.
        int8: whether to quantise.
        limits: what int8 may cost, and what it must bring.
        opset: of the ONNX operators.
        preprocess: the recipe for the device.
        coverage: share of the validation pictures that stay known, in (0, 1]; used with validation pictures.
        translations: of the labels.
        batch: how many pictures the file takes at a time; None for any number.
    """

    source: Path
    output: Path
    labels: tuple[str, ...] | None
    scale: Scale | None
    int8: bool = False
    limits: Limits = _USUAL_LIMITS
    opset: int = DEFAULT_OPSET
    preprocess: Preprocess = _DEFAULT_RECIPE
    coverage: float = DEFAULT_COVERAGE
    translations: tuple[Translation, ...] = ()
    batch: int | None = None


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        passport: of the file.
        size_bytes: of the file.
        fp32_size_bytes: of the float32 file with the same passport.
        kept_fp32: why int8 was asked for and not used; empty otherwise.
        scale_scores: accuracy on training pictures of each scale that was tried; empty if the scale was known.
        candidates: float32 and every int8 file that was tried; empty if none was asked for.
        chosen_on: the pictures that they were measured on.
        flips: test pictures to which the file gives another label than its source.
    """

    passport: Passport
    size_bytes: int
    fp32_size_bytes: int
    kept_fp32: str
    scale_scores: tuple[tuple[Scale, float], ...] = ()
    candidates: tuple[Candidate, ...] = ()
    chosen_on: str = ""
    flips: tuple[Flip, ...] = ()


@dataclass(frozen=True)
class _Verified:
    """A graph that could be the result, compared with its source."""

    data: bytes
    precision: Precision
    comparison: Comparison


def export(
    request: ExportRequest,
    data: ExportData | None,
    source: SourceModel | None = None,
    listener: int8.Listener = lambda _what: None,
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
    source = source or load(request.source)
    labels = request.labels or source.names
    _check_fits(request, labels, source, data)
    training = data.training if data is not None else None
    scale, scale_scores = scales.find(source, training) if request.scale is None else (request.scale, ())
    order = _Order(request, source, labels, scale)
    float_graph = graph.clean(source.convert(request.opset))
    pictures = data.test if data is not None else _noise(source)
    expected = source.predict(scale.applied(pictures.images))
    fp32 = _verified(
        graph.with_uint8_input(float_graph, source.spec, scale.factor),
        Precision(),
        expected,
        pictures,
    )
    lacking = verify.shortfall(
        PrecisionKind.FP32, fp32.comparison.evidence, request.limits.max_drop, source.max_difference
    )
    if lacking:
        raise ExportError(f"the float32 file does not answer as its source: {lacking}. Nothing was written")
    chosen, kept_fp32 = fp32, ""
    tried: tuple[Candidate, ...] = ()
    if request.int8 and data is not None:
        tried = _search(fp32.data, float_graph, order, data, listener)
        chosen, kept_fp32 = _chosen(tried, fp32, expected, data, request.limits)
    stamped, passport = _stamp(chosen, order, data, pictures)
    Classifier.from_bytes(stamped)  # what the device would refuse is not written
    write(request.output, stamped)
    fp32_size = len(stamped) if chosen is fp32 else len(_stamp(fp32, order, data, pictures)[0])
    return ExportResult(
        passport,
        len(stamped),
        fp32_size,
        kept_fp32,
        scale_scores,
        tried,
        _choice(data).name if data is not None else "",
        verify.flips(chosen.comparison, pictures),
    )


def load(path: Path) -> SourceModel:
    """Read a trained classifier of any kind that is known, by the file's suffix.

    Raises:
        ModelError: it cannot be used.
    """
    return sklearn.load(path) if path.suffix in sklearn.SUFFIXES else keras.load(path)


@dataclass(frozen=True)
class _Order:
    """A request with what was found out about its source."""

    request: ExportRequest
    source: SourceModel
    labels: tuple[str, ...]
    scale: Scale


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


def _choice(data: ExportData) -> Pictures:
    """Return what int8 is chosen on: never the test part."""
    return data.choice or data.training or Pictures(data.name, "calibration", data.calibration, None)


def _search(
    fp32: bytes, float_graph: graph.ModelProto, order: _Order, data: ExportData, listener: int8.Listener
) -> tuple[Candidate, ...]:
    pictures = _choice(data)
    material = int8.Material(
        float_graph,
        order.source.spec,
        order.scale.factor,
        order.scale.applied(data.calibration[: quantize.CALIBRATION_IMAGES]),
        pictures,
        order.source.predict(order.scale.applied(pictures.images)),
        order.source.quantizable,
    )
    return int8.search(fp32, material, order.request.limits, listener)


def _chosen(
    tried: tuple[Candidate, ...],
    fp32: _Verified,
    expected: NDArray[np.float32],
    data: ExportData,
    limits: Limits,
) -> tuple[_Verified, str]:
    """Return what is written, and why it is not int8; the test part only confirms what was chosen without it."""
    best = int8.best(tried)
    if best.recipe is None:
        nearest = min(tried[1:], key=lambda candidate: (candidate.drop, -candidate.speedup))
        return fp32, f"{nearest.name} comes nearest and {nearest.verdict}"
    precision = Precision(PrecisionKind.INT8, best.recipe.settings)
    own = _Verified(best.data, precision, verify.compare(expected, OnnxSession(best.data), data.test))
    lacking = verify.shortfall(PrecisionKind.INT8, own.comparison.evidence, limits.max_drop)
    return (fp32, f"{best.name}, on the test part: {lacking}") if lacking else (own, "")


def _verified(
    model: graph.ModelProto, precision: Precision, expected: NDArray[np.float32], pictures: Pictures
) -> _Verified:
    data = model.SerializeToString()
    return _Verified(data, precision, verify.compare(expected, OnnxSession(data), pictures))


def _noise(source: SourceModel) -> Pictures:
    """Without data, parity is still measured: on noise."""
    images = np.random.default_rng(0).integers(0, 256, (_NOISE_IMAGES, *source.spec.shape), np.uint8)
    return Pictures("noise", "drawn", images, None)


def _stamp(
    candidate: _Verified, order: _Order, data: ExportData | None, pictures: Pictures
) -> tuple[bytes, Passport]:
    request = order.request
    passport = Passport(
        labels=order.labels,
        input=order.source.spec,
        preprocess=request.preprocess,
        decision=_decision(candidate, order, data),
        precision=candidate.precision,
        evidence=(candidate.comparison.evidence,),
        golden=_golden(candidate.comparison, pictures, order.source, request),
        provenance=Provenance(
            source=request.source.name,
            source_sha256=hashlib.sha256(request.source.read_bytes()).hexdigest(),
            tools=order.source.tools,
            created=dt.datetime.now(dt.UTC).date().isoformat(),
            data=data.name if data is not None else "unknown",
            licence=data.licence if data is not None else "unknown",
        ),
        translations=request.translations,
    )
    data_bytes = graph.with_batch(candidate.data, request.batch)
    return onnxfile.with_metadata(data_bytes, {KEY: passport.to_json()}), passport


def _decision(candidate: _Verified, order: _Order, data: ExportData | None) -> Decision:
    """Fit temperature and threshold to the very file that is written."""
    if data is None or data.validation is None:
        return Decision(calibrated=order.source.calibrated)
    raw = OnnxSession(candidate.data).run(data.validation.images)
    groups = data.validation.groups(order.labels)
    fitted = decision.fit(raw, data.validation.allowed, groups, order.labels, order.request.coverage)
    return replace(fitted, calibrated=order.source.calibrated)


def _golden(
    comparison: Comparison, pictures: Pictures, source: SourceModel, request: ExportRequest
) -> tuple[Golden, ...]:
    """Choose inputs spread over the pictures, kept as a PNG file would hold them."""
    chosen = np.linspace(0, len(pictures.images) - 1, _GOLDEN_INPUTS).astype(int)
    golden = []
    for index in chosen:
        image = pictures.images[index]
        seen = 255 - image if request.preprocess.polarity is Polarity.INVERT else image  # as a camera sees it
        pixels = seen if source.spec.channels == 1 else cv2.cvtColor(seen, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".png", pixels)[1].tobytes()
        stored = preprocess.tensor_from_bytes(encoded, source.spec, request.preprocess).tobytes()
        if stored != image.tobytes():
            raise ExportError("golden inputs do not survive the preprocessing")
        rows = comparison.source[index], comparison.own[index]
        golden.append(Golden(encoded, stored, *(tuple(float(value) for value in row) for row in rows)))
    return tuple(golden)


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
