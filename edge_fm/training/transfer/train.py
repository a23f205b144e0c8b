"""Train a transfer model into a run folder: features -> cross-validation -> head -> file."""

import datetime as dt
import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm.evaluation import checks
from edge_fm.models import backbones, efficientnet_lite, runs
from edge_fm.models.architecture import Architecture
from edge_fm.models.backbones import Backbone
from edge_fm.models.runs import Run
from edge_fm.training.results import Figures
from edge_fm.training.transfer import head as heads
from edge_fm.training.transfer.feature_cache import FeatureCache
from edge_fm.training.transfer.features import FeatureExtractor
from edge_fm.training.transfer.head import Head, OutOfFold
from edge_fm.training.transfer.unknown import unknown_images
from edge_fm_exporters import parity, pipeline
from edge_fm_exporters.decision.confidence import ScoredImages
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_exporters.framework import import_sklearn
from edge_fm_exporters.graph import onnx_writer
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW
from edge_fm_exporters.parity import VerifiedGraph
from edge_fm_exporters.request import ExportData, ExportRequest, ResolvedExport
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.passport import Precision, PrecisionKind
from edge_fm_runtime.artifact.session import OUTPUT, OnnxSession
from edge_fm_runtime.errors import DataError, ExportError

_UNKNOWN = 400
"""Drawn images of no class, for the known-class score."""

_TOOLS = ("scikit-learn", "numpy", "onnxruntime")

_SMALLEST = 1e-7

Progress = Callable[[int, int], None]
"""Called with (images done, images of all)."""


@dataclass(frozen=True, kw_only=True)
class TransferRequest:
    """A transfer model, its data and its settings.

    Attributes:
        architecture: `transfer` or `transfer-small`.
        backbone: its backbone.
        dataset: images of the backbone's size; nothing is chosen on the test part.
        data_name: the data set's name as the user gave it.
        flip: whether the head is fitted to mirror images too; None lets the cross-validation decide.
        test: folder that is the test part of `dataset`, as the user gave it; None if it has its own.
        cache: folder of the feature cache; None keeps none.
    """

    architecture: Architecture
    backbone: Backbone
    dataset: Dataset
    data_name: str
    flip: bool | None = None
    test: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A fitted head, and what is known of it."""

    head: Head
    folds: OutOfFold
    test: NDArray[np.float64]
    scored: ScoredImages


def train(
    request: TransferRequest,
    folder: Path,
    progress: Progress = lambda _done, _total: None,
    *,
    fresh: bool = False,
) -> Run:
    """Fit the head, measure it once on the test part, and write the run folder.

    `transfer-small` becomes a finished int8 file with a passport, for which no other library is needed;
    `transfer` a float32 network without one, which `edge-fm export` goes on from.

    Args:
        request: what to train.
        folder: run folder; it is made if it does not exist.
        progress: called with progress on the features.
        fresh: whether a folder that holds files is moved aside; see `runs.set_aside`.

    Raises:
        OutputError: the folder holds files, or cannot be written.
        DataError: there are too few images.
        ExportError: scikit-learn is not installed, or the file does not answer as the head does.
    """
    import_sklearn("linear_model")  # before the work
    _check(request.dataset)
    runs.begin(folder, fresh=fresh)
    started_s = time.monotonic()
    extractor = FeatureExtractor(request.backbone, FeatureCache(request.backbone, request.cache))
    trained = _fit(request, extractor, progress)
    file = _with_head(request.backbone, trained.head)
    if request.backbone.precision.kind is PrecisionKind.INT8:
        _finish(request, extractor.session, trained, file, folder / runs.ONNX_MODEL)
    else:
        pipeline.write(folder / runs.ONNX_MODEL, file)
        np.savez_compressed(folder / runs.SCORES, raw=trained.scored.raw, allowed=trained.scored.allowed)
    dataset = request.dataset
    predicted = trained.test.argmax(axis=1)
    out_of_fold = trained.folds.probabilities.argmax(axis=1), dataset.train.labels
    each = {f"accuracy_{number}": value for number, value in enumerate(trained.folds.each, 1)}
    run = Run(
        architecture=request.architecture.name,
        data=request.data_name,
        class_names=dataset.class_names,
        scale=RAW.name,
        model=runs.ONNX_MODEL,
        options={"C": trained.head.penalty, "flip": trained.head.flip},
        settings=asdict(request.architecture.settings),
        epochs=1,
        best_epoch=1,
        scores={
            "folds": {"accuracy": trained.folds.accuracy, **each},
            "test": _figures(trained.test, dataset.test.labels),
        },
        seconds=round(time.monotonic() - started_s, 1),
        interrupted=False,
        licence=dataset.licence,
        tools=request.architecture.framework.tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
        test=str(request.test) if request.test else None,
        measured={
            "folds": MeasuredAccuracy.of(*out_of_fold),
            "test": MeasuredAccuracy.of(predicted, dataset.test.labels),
        },
        findings=checks.check_run(dataset, predicted, out_of_fold),
    )
    run.save(folder)
    return run


def _check(dataset: Dataset) -> None:
    """Refuse data that leave a class without a training image.

    Raises:
        DataError: there is such a class.
    """
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    if not counts.all():
        raise DataError(
            f"{dataset.name} has no readable training image of {dataset.class_names[int(counts.argmin())]}: add some, or "
            "remove the class"
        )


def _fit(request: TransferRequest, extractor: FeatureExtractor, progress: Progress) -> _Trained:
    """Choose on folds of the training part, and fit to all of it."""
    dataset, flip = request.dataset, request.flip
    labels = dataset.train.labels
    count, tested = len(dataset.train), len(dataset.test)
    unknown = unknown_images(request.backbone.spec, _UNKNOWN, seed=0)
    total, done = count * (1 if flip is False else 2) + tested + len(unknown), 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        progress(done, total)

    features = extractor.compute(dataset.train.images, advance)
    mirrored = None
    if flip is not False:
        mirrored = extractor.compute(np.ascontiguousarray(dataset.train.images[:, :, ::-1]), advance)
    tests = extractor.compute(dataset.test.images, advance)
    unknowns = extractor.compute(unknown, advance)
    extractor.trim()
    folds = heads.cross_validated(features, labels, dataset.groups, mirrored=mirrored, flip=flip)
    head = heads.fit(features, labels, folds.penalty, mirrored if folds.flip else None)
    raw = np.concatenate([folds.probabilities, head.probabilities(unknowns)]).astype(np.float32)
    allowed = np.zeros(raw.shape, bool)
    allowed[np.arange(count), labels] = True
    return _Trained(head=head, folds=folds, test=head.probabilities(tests), scored=ScoredImages(raw, allowed))


def _with_head(backbone: Backbone, head: Head) -> bytes:
    """Return the backbone with the head as its last layer: from `image` to `probabilities`."""
    constants = {
        "head_weights": head.weights.astype(np.float32),
        "head_bias": head.bias.astype(np.float32),
    }
    nodes = [
        onnx_writer.node("Gemm", [efficientnet_lite.FEATURES, *constants], "scores"),
        onnx_writer.node("Softmax", ["scores"], OUTPUT, axis=1),
    ]
    answer = onnx_writer.value(OUTPUT, onnx_writer.FLOAT, ["N", len(head.bias)])
    return onnx_writer.extended(backbone.data, nodes, constants, answer)


def _finish(
    request: TransferRequest, session: OnnxSession, trained: _Trained, file: bytes, output: Path
) -> None:
    """Hold the file to the head's own answers, and write it with its passport.

    Raises:
        ExportError: it answers otherwise.
    """
    backbone, dataset = request.backbone, request.dataset
    precision = Precision(
        PrecisionKind.INT8, (*backbone.precision.settings, ("backbone_sha256", backbone.sha256))
    )
    images = LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels)
    comparison = parity.compare(trained.test.astype(np.float32), OnnxSession(file), images)
    difference = comparison.evidence.max_probability_difference
    if difference > precision.tolerance:
        raise ExportError(
            f"the file's probabilities differ from its head's by up to {difference:.2g}, the limit is "
            f"{precision.tolerance:g}. Nothing was written; please report it"
        )
    source = SourceModel(
        path=backbone.source or output,
        spec=backbone.spec,
        classes=len(dataset.class_names),
        predict=lambda pixels: trained.head.probabilities(session.run(pixels.astype(np.uint8))).astype(
            np.float32
        ),
        convert=lambda _opset: None,
        tools=tuple((name, importlib.metadata.version(name)) for name in _TOOLS),
    )
    asked = ExportRequest(source=source.path, output=output, labels=dataset.class_names, scale=RAW)
    resolved = ResolvedExport(
        request=asked, source=source, single=source, labels=dataset.class_names, scale=RAW
    )
    data = ExportData(
        name=dataset.name,
        licence=f"{dataset.licence}; backbone {backbones.LICENCE}",
        calibration=dataset.train.images[:0],
        test=images,
        scored=trained.scored,
    )
    pipeline.finish(VerifiedGraph(file, precision, comparison), resolved, data, images)


def _figures(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Figures:
    own = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "loss": float(-np.log(np.maximum(own, _SMALLEST)).mean()),
    }
