"""Names, size and scale are read from a foreign file's metadata, and nothing in them is run."""

from pathlib import Path

import pytest

from edge_fm_exporters.sources import load
from edge_fm_runtime.artifact.input_spec import Fit
from tests.exporters.onnx_networks import CONVOLUTION, foreign, save

pytestmark = pytest.mark.train

LABELS = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("key", "text", "names"),
    [
        ("names", "{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e'}", LABELS),
        ("classes", '["a", "b", "c", "d", "e"]', LABELS),
        ("Labels", '{"a": 0, "b": 1, "c": 2, "e": 4, "d": 3}', LABELS),
        ("names", "{0: 'a', 1: 'b'}", ()),
        ("names", "['a', 'a', 'c', 'd', 'e']", ()),
        ("names", "__import__('os').system('true')", ()),
        ("names", "[" * 100_000, ()),
        ("names", "{0: 'a', 5: 'b'}", ()),
    ],
)
def test_names_of_the_metadata(key: str, text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    """Names are read from JSON and Python literals where there is one for each output, and never run."""
    assert load(save(tmp_path / "m.onnx", foreign(), **{key: text})).names == names


def test_a_classifier_of_ultralytics(tmp_path: Path) -> None:
    """Its metadata give names, size, scale and fit."""
    model = foreign(
        CONVOLUTION + "f = Flatten(r) y = Gemm(f, d, b) z = Softmax<axis = 1>(y)",
        given="float[N,3,H,W] x",
        answered="float[N,5] z",
    )
    names = str(dict(enumerate(LABELS)))
    source = load(
        save(tmp_path / "m.onnx", model, author="Ultralytics", task="classify", imgsz="[8, 8]", names=names)
    )
    found = (source.spec.shape, source.names, source.scale, source.fit)
    assert found == ((8, 8, 3), LABELS, "unit", Fit.CROP)
