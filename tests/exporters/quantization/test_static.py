"""Kernels that onnxruntime makes of a quantised depthwise-separable network."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import parse_scale
from edge_fm_exporters.quantization import search
from edge_fm_exporters.quantization.static import Calibration, QuantizationSettings
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import OnnxSession
from tests.exporters.networks import as_onnx, inverted_residuals, run_by_onnxruntime

COLOUR = InputSpec(32, 32, 3)


@pytest.mark.train
@pytest.mark.parametrize("calibration", Calibration)
@pytest.mark.parametrize("float_stem", [True, False])
def test_a_mobilenet_runs_in_integers(calibration: Calibration, float_stem: bool, tmp_path: Path) -> None:
    """Convolutions, sum, average and dense layer run in int8, no Clip is left, and the answers are near."""
    network, scale = inverted_residuals(), parse_scale("symmetric", None)
    images = np.random.default_rng(0).integers(0, 256, (40, *COLOUR.shape), np.uint8)
    given = search.QuantizationInputs(
        model=cleanup.clean(as_onnx(network, COLOUR)),
        spec=COLOUR,
        scale=scale,
        calibration=scale.apply(images),
        selection=LabelledImages("noise", "drawn", images, None),
        expected=np.asarray(network(scale.apply(images), training=False)),
    )
    file = given.file(search.build(QuantizationSettings(calibration, float_stem=float_stem), given))
    kinds = Counter(kind.removeprefix("Fused") for kind in run_by_onnxruntime(file, tmp_path))
    assert (
        kinds["Clip"] == kinds["Add"] - (not float_stem) == kinds["Gemm"] == kinds["GlobalAveragePool"] == 0
    )
    assert (kinds["Conv"], kinds["QLinearConv"]) == ((3, 7) if float_stem else (0, 10))
    assert kinds["QLinearAdd"] == kinds["QLinearGlobalAveragePool"] == kinds["QGemm"] == 1
    assert kinds["DequantizeLinear"] <= 1  # of the pixels
    assert np.abs(OnnxSession(file).run(images) - given.expected).mean() < 0.02
