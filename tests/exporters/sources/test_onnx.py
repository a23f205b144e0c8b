"""Foreign ONNX files become classifiers with the answers of the file, or are refused with the way on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.graph.editing import fixed_batch
from edge_fm_exporters.normalization.scale import RAW, UNIT
from edge_fm_exporters.sources import load
from edge_fm_runtime.artifact.input_spec import Fit
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ExportError, ModelError
from tests.exporters.onnx_networks import (
    BAKED,
    CONVOLUTION,
    NCHW,
    NHWC,
    constants,
    exported,
    foreign,
    noise,
    run,
    save,
    softmax,
)

pytestmark = pytest.mark.train

LABELS = ("a", "b", "c", "d", "e")


def check(path: Path, model: Any, expected: Any, *shape: int) -> Any:
    """Assert that source and converted graph give the expected probabilities, for one image and for three."""
    source = load(save(path, model))
    images = noise(3, *shape)
    for count in (1, 3):
        wanted = expected(images[:count])
        np.testing.assert_allclose(source.predict(images[:count]), wanted, atol=1e-5)
        np.testing.assert_allclose(exported(source, images[:count]), wanted, atol=1e-5)
    return source


@pytest.mark.parametrize(
    ("body", "given", "arrange"),
    [
        (NCHW, "float[N,3,8,8] x", lambda images: images.transpose(0, 3, 1, 2)),
        (NHWC, "float[N,8,8,3] i", lambda images: images),
        ("r = Relu(x) y = MatMul(r, v)", "float[batch_size,192] x", lambda images: images.reshape(-1, 192)),
        ("f = Flatten(x) y = Gemm(f, p, b)", "float[?,8,8] x", lambda images: images[..., 0]),
    ],
    ids=["NCHW", "NHWC", "vector", "plane"],
)
@pytest.mark.parametrize("ending", ["", "Softmax<axis = -1>", "LogSoftmax<axis = 1>"])
def test_layouts_and_endings(body: str, given: str, arrange: Any, ending: str, tmp_path: Path) -> None:
    """Images in any layout and outputs of each kind become images (N, H, W, C) and probabilities."""
    whole = body.replace("y = ", "z = ") + f" y = {ending}(z)" if ending else body
    plain = foreign(body, given=given)
    channels = 1 if "8,8] x" in given and "3" not in given else 3
    check(
        tmp_path / "m.onnx",
        foreign(whole, given=given),
        lambda images: softmax(run(plain, np.ascontiguousarray(arrange(images)))[0]),
        *(8, 8, channels),
    )


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21])
def test_operator_sets(opset: int, tmp_path: Path) -> None:
    """A file of any usual operator set is brought to the wanted one."""
    model = foreign(NCHW + " z = Softmax<axis = 1>(y)", answered="float[N,5] z", opset=opset)
    plain = foreign()
    source = check(
        tmp_path / "m.onnx",
        model,
        lambda images: softmax(run(plain, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]),
        *(8, 8, 3),
    )
    assert source.convert(16).opset_import[0].version == 16


def test_an_operator_set_that_cannot_be_lowered(tmp_path: Path) -> None:
    """An operator that only a newer set has keeps that set, and a note says so."""
    body = NCHW.replace("r = Relu(c)", "r = Gelu(c)")
    source = load(save(tmp_path / "m.onnx", foreign(body, opset=20)))
    assert any("operator set 20" in note for note in source.notes)
    assert next(e.version for e in source.convert(17).opset_import if e.domain in {"", "ai.onnx"}) == 20


@pytest.mark.parametrize(
    "body",
    [BAKED, CONVOLUTION + "q = Reshape(r, exact) f = Flatten(q) y = Gemm(f, d, b)"],
    ids=["1,-1", "1,4,4,4"],
)
def test_a_fixed_batch_is_freed(body: str, tmp_path: Path) -> None:
    """A batch of one in the input and in Reshapes becomes one of any size."""
    from onnx import numpy_helper

    model, plain = foreign(body, given="float[1,3,8,8] x", answered="float[1,5] y"), foreign()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 4, 4, 4]), "exact"))
    source = check(
        tmp_path / "m.onnx",
        model,
        lambda images: softmax(run(plain, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]),
        *(8, 8, 3),
    )
    assert fixed_batch(source.convert(17)) is None


def test_a_batch_that_cannot_be_freed_is_kept(tmp_path: Path) -> None:
    """A network that mixes a constant of its batch in is exported with that batch and runs on any number."""
    from onnx import numpy_helper

    body = NCHW.replace(
        "f = Flatten(r)", "e = Concat<axis = 0>(r, more) s = Slice(e, o, l, o) f = Flatten(s)"
    )
    model, plain = foreign(body, given="float[1,3,8,8] x", answered="float[1,5] y"), foreign()
    for name, value in (("more", np.zeros((1, 4, 4, 4), np.float32)), ("o", [0]), ("l", [1])):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    path = save(tmp_path / "m.onnx", model)
    source = load(path)
    assert any("exactly 1 image at a time" in note for note in source.notes)
    out = tmp_path / "out.onnx"
    export(ExportRequest(source=path, output=out, labels=LABELS, scale=UNIT), None, source)
    classifier = Classifier.load(out)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), np.uint8)
    wanted = run(plain, np.ascontiguousarray((pixels / np.float32(255)).transpose(0, 3, 1, 2)))[0]
    np.testing.assert_allclose(classifier.probabilities(pixels), softmax(wanted), atol=1e-5)
    with pytest.raises(ExportError, match="leave --batch out"):
        export(ExportRequest(source=path, output=out, labels=LABELS, scale=UNIT, batch=4), None, source)
