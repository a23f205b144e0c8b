"""The uint8 input scales pixels as the float input got them, in the order in which that is cheap."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters.graph import cleanup, uint8_input
from edge_fm_exporters.normalization.scale import UNIT, Scale
from edge_fm_exporters.sources import load
from tests.exporters.onnx_networks import foreign, run, save

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    "scale",
    [
        UNIT,
        Scale("whole", (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)),
        Scale("broken", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ],
    ids=str,
)
def test_pixels_are_scaled_channels_first(scale: Scale, tmp_path: Path) -> None:
    """A network with channels first has its bytes turned, then each channel scaled in one piece."""
    source = load(save(tmp_path / "m.onnx", foreign()))
    graph = cleanup.clean(source.convert(17))
    made = uint8_input.with_uint8_input(graph, source.spec, scale)
    assert [node.op_type for node in made.graph.node][:2] == ["Transpose", "DequantizeLinear"]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(run(made, pixels)[0], source.predict(scale.apply(pixels)), atol=1e-5)
