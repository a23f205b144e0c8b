"""Kernels that are themselves read backwards, held once."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_fm import edge
from edge_fm.datasets import Dataset
from edge_fm_exporters import ExportData, ExportRequest, export, keras, palindrome, weights
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import ModelProto, clean
from edge_fm_exporters.int8 import Limits
from edge_fm_exporters.scale import UNIT
from edge_fm_exporters.summary import summarise
from edge_fm_exporters.verify import Pictures
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ExportError
from edge_fm_runtime.inputs import InputSpec
from edge_fm_runtime.modelfile import read_model
from tests.exporters.networks import SEED_CNN

pytestmark = pytest.mark.train

WIDTH = edge.Width(4, 6, 8, full_blocks=1, symmetric=True)


@pytest.fixture(scope="module")
def two_sided(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Return the file of a network that is its own mirror image, and how many weights it was made of."""
    import_keras().utils.set_random_seed(0)
    model, rng = edge.build(WIDTH, InputSpec(28, 28, 1), 10, "x"), np.random.default_rng(1)
    model.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    path = tmp_path_factory.mktemp("sides") / "sides.keras"
    edge.written_out(model, WIDTH).save(path)
    return path, sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def graph(two_sided: tuple[Path, int]) -> ModelProto:
    """Return its cleaned graph."""
    return palindrome.evened(clean(keras.load(two_sided[0]).convert(17)))


@pytest.fixture(scope="module")
def files(two_sided: tuple[Path, int], wardrobe: Dataset) -> list[bytes]:
    """Return every file that an export to int8 tries, without passports: float32 first."""
    data = ExportData(
        wardrobe.name,
        wardrobe.licence,
        wardrobe.train.images[:200],
        Pictures(wardrobe.name, "test", wardrobe.test.images, wardrobe.test.labels),
        choice=Pictures(
            "the choice", "training", wardrobe.train.images[200:600], wardrobe.train.labels[200:600]
        ),
    )
    path = two_sided[0].with_suffix(".onnx")
    limits = Limits(1.0, 1.0, 0.0)  # it has learnt nothing
    request = ExportRequest(two_sided[0], path, wardrobe.class_names, UNIT, int8=True, limits=limits)
    return [candidate.data for candidate in export(request, data).candidates]


def kernels(data: bytes, folder: Path) -> tuple[Counter[str], Any]:
    """Return the operators that onnxruntime makes of a file, and its answers to noise."""
    import onnx

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options)
    given = session.get_inputs()[0]
    noise = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 1)).astype(np.uint8)
    fed = noise if given.type == "tensor(uint8)" else noise.astype(np.float32) / np.float32(255)
    answers = session.run(None, {given.name: fed})[0]
    optimised = onnx.load(folder / "optimised.onnx")
    return Counter(node.op_type for node in optimised.graph.node), answers


def test_a_file_holds_what_was_trained(two_sided: tuple[Path, int], files: list[bytes]) -> None:
    """Of float32 and of every int8 file the kernels are half of what the network of Keras's layers has: inspect counts no more numbers than were trained."""
    assert len(files) > 2
    for data in files:
        layers = summarise(data).layers
        assert 0.9 * two_sided[1] < sum(layer.parameters for layer in layers) <= two_sided[1]
        assert len([layer for layer in layers if layer.parameters]) == 11


def test_onnxruntime_computes_the_same(graph: ModelProto, tmp_path: Path) -> None:
    """It folds away what reads kernels backwards: the same operators, and the same answers to the bit, as of whole kernels."""
    smaller = palindrome.held_once(graph)
    before, answers = kernels(graph.SerializeToString(), tmp_path)
    after, again = kernels(smaller.SerializeToString(), tmp_path)
    assert after == before
    np.testing.assert_array_equal(again, answers)
    assert smaller.ByteSize() < 0.75 * graph.ByteSize()


def test_int8_is_its_own_mirror_image_too(files: list[bytes], wardrobe: Dataset, tmp_path: Path) -> None:
    """Whichever way int8 is made, its convolutions are int8 and a picture and its mirror image get the same; exactly, unless the first convolution is float."""
    images = wardrobe.test.images
    float_stems = 0
    for number, data in enumerate(files[1:]):
        operators, _ = kernels(data, tmp_path)
        assert operators["QLinearConv"] >= 7
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(data)
        classifier = Classifier.load(path, wardrobe.class_names)
        straight, mirrored = (
            classifier.probabilities(np.ascontiguousarray(view)) for view in (images, images[:, :, ::-1])
        )
        assert straight.std(axis=0).max() > 0.005
        float_stem = any("Conv" in operator and operator != "QLinearConv" for operator in operators)
        assert float_stem or np.array_equal(straight, mirrored)
        assert np.mean(np.abs(straight - mirrored)) < 1e-3
        float_stems += float_stem
    assert float_stems == len(files[1:]) / 2


def test_whole_kernels_come_back(graph: ModelProto, tmp_path: Path) -> None:
    """Written out again the kernels are those of before, and so are the weights of a file, by shape and value."""
    whole = palindrome.written_out(palindrome.held_once(graph))
    assert sorted(tensor.SerializeToString() for tensor in whole.graph.initializer) == sorted(
        tensor.SerializeToString() for tensor in graph.graph.initializer
    )
    assert palindrome.symmetric(graph)
    assert len(whole.graph.node) == len(graph.graph.node)
    kept = weights.of_file(palindrome.held_once(graph).SerializeToString())
    for (kernel, bias), (expected, own) in zip(kept, weights.of_file(graph.SerializeToString()), strict=True):
        np.testing.assert_array_equal(kernel, expected)
        np.testing.assert_array_equal(bias, own)


def test_no_mirror_image_is_asked_for_twice(two_sided: tuple[Path, int], tmp_path: Path) -> None:
    """With --mirror the export says that the network answers both alike already, and writes nothing."""
    labels = tuple("abcdefghij")
    request = ExportRequest(two_sided[0], tmp_path / "x.onnx", labels, UNIT, mirrored=True)
    with pytest.raises(ExportError, match="without --mirror"):
        export(request, None)
    assert not list(tmp_path.iterdir())


def test_biases_are_tied_where_kernels_are(graph: ModelProto) -> None:
    """A bias that is a step off becomes what the first side says; once the kernels of the sides differ, as after fine-tuning, each keeps its own."""
    from onnx import numpy_helper

    def with_step(model: ModelProto, name: str) -> ModelProto:
        for tensor in model.graph.initializer:
            if tensor.name == name:
                values = numpy_helper.to_array(tensor).copy()
                values.reshape(-1)[-1] += 1
                tensor.CopyFrom(numpy_helper.from_array(values, name))
        return model

    expected = palindrome.tied(graph).SerializeToString()
    assert expected == graph.SerializeToString()
    copy = type(graph).FromString(expected)
    assert palindrome.tied(with_step(copy, "conv_2_bias")).SerializeToString() == expected
    apart = with_step(with_step(type(graph).FromString(expected), "conv_2_bias"), "conv_3_weights")
    assert palindrome.tied(apart).SerializeToString() == apart.SerializeToString()
    assert not palindrome.symmetric(apart)


def test_other_networks_are_left_alone() -> None:
    """One that sees left and right is not symmetric and keeps its bytes; so does a file whose own nodes join a constant to a part of another, or to a part of itself."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    seed = clean(keras.load(SEED_CNN).convert(17))
    assert not palindrome.symmetric(seed)
    assert palindrome.held_once(seed).SerializeToString() == seed.SerializeToString()
    assert palindrome.written_out(seed).SerializeToString() == seed.SerializeToString()
    file = onnx.load_from_string(read_model("fashion"))
    assert palindrome.written_out(file).SerializeToString() == file.SerializeToString()
    constants = {
        "table": np.arange(6, dtype=np.float32).reshape(2, 3),
        "from": np.array([0]),
        "to": np.array([1]),
        "other": np.ones((1, 3), np.float32),
    }
    for joined, how in (
        ("other", ["from", "to"]),
        ("table", ["from", "to"]),
        ("table", ["from", "to", "from", "to"]),
    ):
        nodes = [
            helper.make_node("Slice", ["table", *how], ["part"]),
            helper.make_node("Concat", [joined, "part"], ["joined"], axis=0),
            helper.make_node("Add", ["x", "joined"], ["y"]),
        ]
        shaped = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "y")]
        kept = [
            numpy_helper.from_array(value, name)
            for name, value in constants.items()
            if name in {"table", joined, *how}
        ]
        foreign = helper.make_model(helper.make_graph(nodes, "g", shaped[:1], shaped[1:], kept))
        assert palindrome.written_out(foreign).SerializeToString() == foreign.SerializeToString()
