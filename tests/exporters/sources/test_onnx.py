"""Foreign ONNX files become classifiers with the answers of the file, or are refused with the way on."""

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


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floats_become_float32(kind: Any, tmp_path: Path) -> None:
    """Weights, inputs and casts of 16 or 64 bits become those of 32, with the same answers and a note."""
    from onnx import TensorProto, helper, numpy_helper

    model = foreign(NCHW.replace("r = Relu(c)", "k = Relu(c) r = Cast<to = 1>(k)"))
    number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = number
    next(node for node in model.graph.node if node.op_type == "Cast").attribute[0].i = number
    source = load(save(tmp_path / "m.onnx", model))
    images = noise(3, 8, 8, 3)
    # onnxruntime has no convolution of 64 bits on a processor.
    original, taken = (model, kind) if kind is np.float16 else (foreign(), np.float32)
    wanted = run(original, np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(taken))[0]
    np.testing.assert_allclose(source.predict(images), softmax(wanted), atol=2e-3)
    np.testing.assert_allclose(exported(source, images), source.predict(images), atol=1e-5)
    assert source.notes[0].startswith(f"computes in {np.dtype(kind)}")
    assert {tensor.data_type for tensor in source.convert(17).graph.initializer} == {TensorProto.FLOAT}


@pytest.mark.parametrize("operators", ["f = Cast<to = 1>(t)", "q = Identity(t) f = Cast<to = 1>(q)"])
def test_pixels_as_input(operators: str, tmp_path: Path) -> None:
    """A uint8 input is one of raw pixels, and its cast costs nothing."""
    body = f"t = Transpose<perm = [0, 3, 1, 2]>(i) {operators} {NCHW.replace('(x, w)', '(f, w)')}"
    body = body.replace("f = Flatten(r) y = Gemm(f", "l = Flatten(r) y = Gemm(l")
    model = foreign(body, given="uint8[N,8,8,3] i")
    source = load(save(tmp_path / "m.onnx", model))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    wanted = softmax(run(model, pixels)[0])
    np.testing.assert_allclose(exported(source, pixels.astype(np.float32)), wanted, atol=1e-5)
    assert source.scale == "raw"
    assert "Cast" not in {node.op_type for node in cleanup.clean(source.convert(17)).graph.node}


def test_integer_arithmetic_on_pixels(tmp_path: Path) -> None:
    """A network that computes with its uint8 input gets whole numbers in the file too."""
    body = "h = Div(x, two) f = Cast<to = 1>(h) l = Flatten(f) y = Gemm(l, v, b)"
    model = foreign(body, given="uint8[N,3,8,8] x")
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.array(2, np.uint8), "two"))
    source = load(save(tmp_path / "m.onnx", model))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    wanted = softmax(run(model, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))[0])
    np.testing.assert_allclose(exported(source, pixels.astype(np.float32)), wanted, atol=1e-5)


@pytest.mark.parametrize("extra", ["z = Softmax<axis = -1>(y)", "z = ArgMax<axis = 1>(y)", "z = Identity(r)"])
def test_extra_outputs(extra: str, tmp_path: Path) -> None:
    """Probabilities are taken before logits, and a row of classes before labels and feature maps."""
    kind = {"z = A": "int64[N,1] z", "z = I": "float[N,4,4,4] z"}.get(extra[:5], "float[N,5] z")
    plain = foreign()
    source = check(
        tmp_path / "m.onnx",
        foreign(f"{NCHW} {extra}", answered=f"{kind}, float[N,5] y"),
        lambda images: softmax(run(plain, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]),
        *(8, 8, 3),
    )
    assert len(source.convert(17).graph.output) == 1


def test_a_classifier_of_sklearn_onnx(tmp_path: Path) -> None:
    """The probabilities of a dictionary are taken, and its names, not the label beside it."""
    from onnx import TensorProto, helper

    body = "y = MatMul(x, v) s = Softmax<axis = -1>(y) k = ArgMax<axis = 1, keepdims = 0>(s)"
    model = foreign(body, given="float[?,192] x", answered="int64[?] k")
    model.graph.node.append(
        helper.make_node("ZipMap", ["s"], ["z"], domain="ai.onnx.ml", classlabels_strings=list(LABELS))
    )
    element = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    answer = helper.make_value_info("z", helper.make_sequence_type_proto(element))
    model.graph.output.append(answer)
    source = load(save(tmp_path / "m.onnx", model))
    images = noise(3, 8, 8, 3)
    wanted = [list(row.values()) for row in run(model, images.reshape(3, -1))[1]]
    np.testing.assert_allclose(source.predict(images), wanted, atol=1e-6)
    np.testing.assert_allclose(exported(source, images), wanted, atol=1e-6)
    assert source.names == LABELS


def test_any_size(tmp_path: Path) -> None:
    """A network of any size is exported for the one that is asked for, and refused without it."""
    body = CONVOLUTION + "q = GlobalAveragePool(r) m = Flatten(q) y = Gemm(m, dd, b)"
    model = foreign(body, given="float[N,3,height,width] x")
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(constants()["d"][:4].copy(), "dd"))
    path = save(tmp_path / "m.onnx", model)
    source = load(path, (12, 10))
    images = noise(2, 12, 10, 3)
    wanted = softmax(run(model, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0])
    np.testing.assert_allclose(exported(source, images), wanted, atol=1e-5)
    with pytest.raises(ModelError, match="--size 224x224"):
        load(path)


def test_names_of_tensors_may_be_ours(tmp_path: Path) -> None:
    """A foreign graph may call its inner tensors as an exported file calls its ends."""
    body = NCHW.replace("c = ", "image = ").replace("Relu(c)", "Relu(image)")
    body = body.replace("f = ", "probabilities = ").replace("Gemm(f", "Gemm(probabilities")
    plain = foreign()
    check(
        tmp_path / "m.onnx",
        foreign(body),
        lambda images: softmax(run(plain, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]),
        *(8, 8, 3),
    )


def test_no_training_framework_is_loaded(tmp_path: Path) -> None:
    """A whole export of a foreign file imports neither TensorFlow nor Keras, and the file answers alike."""
    path, out = save(tmp_path / "m.onnx", foreign()), tmp_path / "out.onnx"
    code = (
        "import sys; from edge_fm.cli import main\n"
        f"sys.argv = ['edge-fm', 'export', {str(path)!r}, '--labels', 'a,b,c,d,e', '--scale', 'raw', '-o', {str(out)!r}]\n"
        "try: main()\nfinally: print(sorted({'tensorflow', 'keras', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    wanted = load(path).predict(RAW.apply(pixels))
    np.testing.assert_allclose(Classifier.load(out).probabilities(pixels), wanted, atol=1e-5)
