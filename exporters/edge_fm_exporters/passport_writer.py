"""Stamp a file: its passport with the decision and the golden inputs, and the seal over it all."""

import datetime as dt
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import parity
from edge_fm_exporters.decision import confidence, reduced_decoding
from edge_fm_exporters.decision.confidence import DecisionImages, ScoredImages
from edge_fm_exporters.graph import editing
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.parity import VerifiedGraph
from edge_fm_exporters.request import ExportData, ResolvedExport
from edge_fm_exporters.sources import digest
from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.passport import KEY, Decision, Golden, Passport, Provenance
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.errors import ExportError
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.untrusted.typed_json import encode_bytes

_GOLDEN_INPUTS = 8
_GOLDEN_BYTES = 40_000
"""Most that golden inputs may take of a file; those of a 28x28 model take about a quarter."""

_GRAINS = (1, 2, 4, 8, 16, 32, 64, 128)


def write_passport(
    candidate: VerifiedGraph, order: ResolvedExport, data: ExportData | None, pictures: LabelledImages
) -> tuple[bytes, Passport]:
    """Return the file with its passport, and the passport.

    Args:
        candidate: the file, compared with its source.
        order: what was asked for.
        data: pictures for the decision, if there are any.
        pictures: that golden inputs are taken from.

    Raises:
        ExportError: a picture does not survive the preprocessing.
    """
    request = order.request
    passport = Passport(
        labels=order.labels,
        input=order.source.spec,
        preprocess=request.preprocess,
        decision=_decision(candidate, order, data),
        precision=candidate.precision,
        evidence=(candidate.comparison.evidence,),
        golden=_golden(candidate, pictures, order),
        provenance=Provenance(
            source=request.source.name,
            source_sha256=digest(request.source),
            tools=order.source.tools,
            created=dt.datetime.now(dt.UTC).date().isoformat(),
            data=data.name if data is not None else "unknown",
            licence=data.licence if data is not None else "unknown",
        ),
        translations=request.translations,
    )
    return with_passport(candidate.data, passport, request.batch), passport


def with_passport(data: bytes, passport: Passport, batch: int | None) -> bytes:
    """Return a file with its passport.

    Args:
        data: without one.
        passport: what it says of itself.
        batch: how many pictures it takes at once; None for any number.
    """
    return onnx_file.with_metadata(editing.with_batch(data, batch), {KEY: passport.to_json()})


def _decision(candidate: VerifiedGraph, order: ResolvedExport, data: ExportData | None) -> Decision:
    """Fit temperature, known-class weights, threshold and decode margin to the file itself."""
    session = OnnxSession(candidate.data)
    moved = reduced_decoding.fit(session.run, order.source.spec, order.request.preprocess)
    own = Decision(
        calibrated=order.source.calibrated,
        reduced_decode_margin=moved.reduced_decode_margin,
        rounding_margin=moved.rounding_margin,
    )
    fitted = _fitted(session, order, data) if data is not None else None
    if fitted is None:
        return own
    return replace(
        fitted,
        calibrated=own.calibrated,
        reduced_decode_margin=own.reduced_decode_margin,
        rounding_margin=own.rounding_margin,
    )


def _fitted(session: OnnxSession, order: ResolvedExport, data: ExportData) -> Decision | None:
    """Return the decision that suits the images of a training, None if it kept none."""
    if data.scored is not None:
        return confidence.fit(data.scored, (), order.labels, order.request.coverage, data.scored)
    if data.validation is None:
        return None

    def answers(pictures: DecisionImages) -> ScoredImages:
        return ScoredImages(session.run(pictures.images), pictures.allowed)

    return confidence.fit(
        answers(data.validation),
        data.validation.groups(order.labels),
        order.labels,
        order.request.coverage,
        answers(data.ood_calibration) if data.ood_calibration is not None else None,
    )


def _golden(candidate: VerifiedGraph, pictures: LabelledImages, order: ResolvedExport) -> tuple[Golden, ...]:
    """Choose inputs spread over the pictures, coarsened until they fit the bytes for them.

    Raises:
        ExportError: a picture does not survive the preprocessing.
    """
    preprocess_recipe, spec = order.request.preprocess, order.source.spec
    finite = np.flatnonzero(np.isfinite(candidate.comparison.own).all(axis=1))
    if not len(finite):
        return ()  # a network that never answers: nothing can be replayed
    chosen = pictures.images[finite[np.linspace(0, len(finite) - 1, _GOLDEN_INPUTS).astype(int)]]
    for grain in _GRAINS:
        images = np.stack([_coarse(image, grain) for image in chosen])
        encoded = [parity.as_png(image, preprocess_recipe) for image in images]
        stored = [preprocess.tensor_from_bytes(data, spec, preprocess_recipe).tobytes() for data in encoded]
        if sum(len(encode_bytes(data)) for data in (*encoded, *stored)) <= _GOLDEN_BYTES:
            break
    if stored != [image.tobytes() for image in images]:
        raise ExportError("golden inputs do not survive the preprocessing")
    source = order.source.predict(order.scale.apply(images))
    own = OnnxSession(candidate.data).run(images)
    return tuple(
        Golden(data, tensor, _shortest(source_row), _shortest(own_row))
        for data, tensor, source_row, own_row in zip(encoded, stored, source, own, strict=True)
    )


def _coarse(image: NDArray[np.uint8], grain: int) -> NDArray[np.uint8]:
    """Return an image of the same size in squares of one shade each, `grain` pixels a side."""
    if grain == 1:
        return image
    height, width, channels = image.shape
    small = cv2.resize(image, (-(-width // grain), -(-height // grain)), interpolation=cv2.INTER_AREA)
    small = small.reshape(*small.shape[:2], channels)
    return np.ascontiguousarray(small.repeat(grain, 0).repeat(grain, 1)[:height, :width])


def _shortest(row: NDArray[np.float32]) -> tuple[float, ...]:
    """Return float32 numbers as the shortest decimals that round-trip, half as long as doubles."""
    return tuple(float(str(value)) for value in row)
