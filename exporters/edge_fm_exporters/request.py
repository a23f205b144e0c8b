"""Request, data and result of an export."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.decision.confidence import DecisionImages, ScoredImages
from edge_fm_exporters.evidence.findings import MeasuredAccuracy, QualityFinding
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.parity import Flip
from edge_fm_exporters.quantization.search import Candidate, Int8Limits
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Preprocess
from edge_fm_runtime.artifact.passport import Passport, Translation

DEFAULT_OPSET = 17
DEFAULT_COVERAGE = 0.95
_DEFAULT_PREPROCESS = Preprocess()
_DEFAULT_LIMITS = Int8Limits()


@dataclass(frozen=True, kw_only=True)
class ExportData:
    """Images for an export.

    Attributes:
        name: name of the data set.
        licence: licence of the images.
        calibration: (N, height, width, channels) uint8 images of the training part that int8 is calibrated
            on.
        test: images that the file is measured on.
        validation: images that temperature and threshold are fitted on, if any; no training saw them.
        selection: labelled images on which int8 is selected, neither calibrated on nor tested on; None takes
            `calibration`.
        ood_calibration: images as the training saw them, also of no class, on which the known-class score is
            fitted, if any.
        scored: out-of-fold probabilities and those of images of no class, if the training kept them; the
            decision is then fitted to them, and not to `validation` and `ood_calibration`.
    """

    name: str
    licence: str
    calibration: NDArray[np.uint8]
    test: LabelledImages
    validation: DecisionImages | None = None
    selection: LabelledImages | None = None
    ood_calibration: DecisionImages | None = None
    scored: ScoredImages | None = None


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A model to export, with the facts that a plain model file does not state.

    Attributes:
        source: file or folder of a format that `sources.identify` knows.
        output: `.onnx` file to write.
        labels: class names in output order; None where the source names them.
        scale: scale of the pixels in training; `normalization.search.find_recipe` finds an unknown one.
        int8: whether to quantise.
        limits: largest loss that int8 may cause, and smallest speed-up that it must bring.
        opset: version of the ONNX operator set.
        preprocess: preprocessing on the device.
        coverage: fraction of the validation images that stays known, in (0, 1].
        translations: labels in other languages.
        batch: number of images that the file takes at a time; None for any.
        flip_ensemble: whether the file answers with flip test-time augmentation.
    """

    source: Path
    output: Path
    labels: tuple[str, ...] | None
    scale: Scale
    int8: bool = False
    limits: Int8Limits = _DEFAULT_LIMITS
    opset: int = DEFAULT_OPSET
    preprocess: Preprocess = _DEFAULT_PREPROCESS
    coverage: float = DEFAULT_COVERAGE
    translations: tuple[Translation, ...] = ()
    batch: int | None = None
    flip_ensemble: bool = False


@dataclass(frozen=True, kw_only=True)
class ResolvedExport:
    """A request with what was found out about its source.

    Attributes:
        request: the request.
        source: model that the file must answer as; with flip test-time augmentation if that was asked for.
        single: the same model without it.
        labels: class names in output order.
        scale: scale of the pixels in training.
    """

    request: ExportRequest
    source: SourceModel
    single: SourceModel
    labels: tuple[str, ...]
    scale: Scale


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Result of an export.

    Attributes:
        passport: passport of the file.
        size_bytes: size of the file.
        fp32_size_bytes: size of the float32 file with the same passport.
        kept_fp32: why int8 was asked for and not used; empty otherwise.
        candidates: float32 and every int8 file that was tried; empty if none was asked for.
        selected_on: name of the images that they were measured on.
        measured: accuracy of the file on the images that it was measured on; None without class labels.
        findings: what makes the file look untrained or fed wrongly.
        flips: test images to which the file gives another label than its source.
        from_bytes: number of images that were given to the finished file as encoded bytes, through the
            runtime's own preprocessing, and got the label of their tensors; a difference would have stopped
            the export.
        flip_accuracy: accuracy of the source without and with flip test-time augmentation, on the images that
            int8 is selected on; None without flip test-time augmentation or without class labels.
    """

    passport: Passport
    size_bytes: int
    fp32_size_bytes: int
    kept_fp32: str
    candidates: tuple[Candidate, ...] = ()
    selected_on: str = ""
    measured: MeasuredAccuracy | None = None
    findings: tuple[QualityFinding, ...] = ()
    flips: tuple[Flip, ...] = ()
    from_bytes: int = 0
    flip_accuracy: tuple[float, float] | None = None
