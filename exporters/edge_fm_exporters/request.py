"""What is asked of an export, and what comes of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.decision.confidence import DecisionImages
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.parity import Flip
from edge_fm_exporters.quantization.search import Candidate, Int8Limits
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Preprocess
from edge_fm_runtime.artifact.passport import Passport, Translation

DEFAULT_OPSET = 17
DEFAULT_COVERAGE = 0.95
_DEFAULT_RECIPE = Preprocess()
_USUAL_LIMITS = Int8Limits()


@dataclass(frozen=True)
class ExportData:
    """Pictures for an export.

    Attributes:
        name: of the data set.
        licence: of the pictures.
        calibration: (N, height, width, channels) uint8 from the training part, for int8.
        test: what the file is measured on.
        validation: what temperature and threshold are fitted on, if anything; no training saw it.
        lesson: pictures as the training saw them, also of no class, on which the familiarity is fitted, if anything.
        training: pictures with classes from the training part, on which an unknown scale is found.
        choice: pictures that are neither calibrated on nor tested on, on which int8 is chosen; None takes `training`.
    """

    name: str
    licence: str
    calibration: NDArray[np.uint8]
    test: LabelledImages
    validation: DecisionImages | None = None
    training: LabelledImages | None = None
    choice: LabelledImages | None = None
    ood_calibration: DecisionImages | None = None


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
        mirrored: whether the file answers each picture together with its mirror image.
    """

    source: Path
    output: Path
    labels: tuple[str, ...] | None
    scale: Scale | None
    int8: bool = False
    limits: Int8Limits = _USUAL_LIMITS
    opset: int = DEFAULT_OPSET
    preprocess: Preprocess = _DEFAULT_RECIPE
    coverage: float = DEFAULT_COVERAGE
    translations: tuple[Translation, ...] = ()
    batch: int | None = None
    mirrored: bool = False


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
        from_bytes: how many pictures were given to the sealed file as encoded bytes, through the runtime's own
            preprocessing, and got the label of their tensors; had one not, nothing would have been written.
        mirrored: the source's accuracy on the pictures that int8 is chosen on, without and with their mirror images; None where the
            file does not answer them or the pictures have no classes.
    """

    passport: Passport
    size_bytes: int
    fp32_size_bytes: int
    kept_fp32: str
    scale_scores: tuple[tuple[Scale, float], ...] = ()
    candidates: tuple[Candidate, ...] = ()
    chosen_on: str = ""
    flips: tuple[Flip, ...] = ()
    from_bytes: int = 0
    mirrored: tuple[float, float] | None = None


@dataclass(frozen=True)
class ResolvedExport:
    """A request with what was found out about its source."""

    request: ExportRequest
    source: SourceModel
    labels: tuple[str, ...]
    scale: Scale
