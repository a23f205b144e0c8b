"""SavedModel folders as sources: ways to write them against TensorFlow's answers, and the refusals."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import sources
from edge_fm_exporters.framework import import_keras, import_tensorflow, import_tf_keras
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.keras_recipe import SYMMETRIC
from edge_fm_exporters.sources.saved_model import graph
from edge_fm_exporters.sources.saved_model.protobuf import Message, ProtobufError
from edge_fm_runtime.artifact.input_spec import Fit
from edge_fm_runtime.errors import ModelError
from tests.exporters.networks import depthwise, one_sigmoid, shaken

pytestmark = pytest.mark.train

Answer = Callable[[Any, Any], Any]


def _module(folder: Path, answer: Answer, shape: list[int | None], dtype: str = "float32") -> Path:
    """Write a module that answers with a function of one tensor."""
    tf = import_tensorflow()
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32))
    function = tf.function(lambda image: answer(image, module.weights), autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec(shape, getattr(tf, dtype), name="image"))
    tf.saved_model.save(module, str(folder), signatures={"serving_default": traced})
    return folder


def _dense(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.nn.softmax(tf.reshape(tf.cast(image, tf.float32), [-1, 64]) @ weights / 64)


def _fixed(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.nn.softmax(tf.reshape(image, [2, 64]) @ weights / 64)


def _difference(source: SourceModel) -> float:
    """Return the largest difference of a probability between the source and its graph, on noise."""
    import onnxruntime

    images = np.random.default_rng(1).integers(0, 256, (7, *source.spec.shape)).astype(np.float32)
    graph = cleanup.clean(source.convert(17)).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return float(np.abs(session.run(None, {"image": images})[0] - source.predict(images)).max())


Layout = tuple[list[int | None], str, Answer, str]

LAYOUTS: dict[str, Layout] = {
    "images": ([None, 8, 8, 1], "float32", _dense, ""),
    "planes": ([None, 8, 8], "float32", _dense, ""),
    "vectors": ([None, 64], "float32", _dense, ""),
    "channels first": ([None, 1, 8, 8], "float32", _dense, ""),
    "uint8": ([None, 8, 8, 1], "uint8", _dense, "raw"),
    "batches of one": ([1, 8, 8, 1], "float32", _dense, ""),
    "batches of two": ([2, 8, 8, 1], "float32", _fixed, ""),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_inputs_of_every_layout(tmp_path: Path, name: str) -> None:
    """Images, planes, vectors and channels first, of a free or a fixed batch, answer as in TensorFlow."""
    shape, dtype, answer, scale = LAYOUTS[name]
    source = sources.load(_module(tmp_path / "m", answer, shape, dtype))
    assert (source.spec.shape, source.classes, source.scale) == ((8, 8, 1), 3, scale)
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    exact = np.exp(images.reshape(5, 64) @ weights / 64)
    assert np.abs(source.predict(images) - exact / exact.sum(axis=1, keepdims=True)).max() < 1e-5
    assert _difference(source) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("way", ["keras 3", "module", "frozen"])
@pytest.mark.parametrize("build", [depthwise, one_sigmoid])
def test_every_way_to_write_one(tmp_path: Path, way: str, build: Callable[[], Any]) -> None:
    """Exports of Keras 3, modules and frozen graphs of TensorFlow 1 answer as their networks."""
    import_keras().utils.set_random_seed(0)
    model = shaken(build())
    images = np.random.default_rng(1).random((5, *model.input_shape[1:]), np.float32)
    expected = np.asarray(model(images, training=False))
    folder = tmp_path / "m"
    if way == "keras 3":
        model.export(folder, verbose=False)
    else:
        {"module": _write_module, "frozen": _write_frozen}[way](model, folder)
    source = sources.load(folder)
    answers = source.predict(images)
    assert np.abs(answers[:, -expected.shape[1] :] - expected).max() < 1e-5
    assert _difference(source) < 1e-5


@pytest.mark.slow
def test_teachable_machine_is_recognised_in_its_archive(tmp_path: Path) -> None:
    """A folder of Keras 2 in a zip with its labels brings their names, the crop and the pixels' range."""
    k = import_tf_keras()
    image = k.Input((32, 32, 3))
    base = k.Model(image, k.layers.Conv2D(4, 3)(image))
    model = k.Sequential(
        [
            k.Sequential([base, k.layers.GlobalAveragePooling2D()]),
            k.Sequential(
                [
                    k.layers.Dense(8, activation="relu"),
                    k.layers.Dense(2, activation="softmax", use_bias=False),
                ]
            ),
        ]
    )
    model(np.zeros((1, 32, 32, 3), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "made" / "model.savedmodel", save_format="tf")
    (tmp_path / "made" / "labels.txt").write_text("0 cat\n1 dog\n")
    archive = Path(shutil.make_archive(str(tmp_path / "converted"), "zip", tmp_path / "made"))
    source = sources.load(archive)
    assert (source.names, source.scale, source.fit) == (("cat", "dog"), SYMMETRIC, Fit.CROP)
    assert _difference(source) < 1e-5


def _write_module(model: Any, folder: Path) -> None:
    """Write a network's function and variables as `tf.saved_model.save` does for a module that holds both."""
    tf = import_tensorflow()
    module = tf.Module()
    module.kept = [variable.value for variable in model.variables]
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec((None, *model.input_shape[1:]), tf.float32))
    tf.saved_model.save(module, str(folder), signatures=traced)


def _write_frozen(model: Any, folder: Path) -> None:
    """Write a graph whose variables are constants, as TensorFlow 1 served it."""
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda image: model(image, training=False), autograph=False)
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        names = frozen.inputs[0].name, frozen.outputs[0].name
        image, answer = tf.graph_util.import_graph_def(
            frozen.graph.as_graph_def(), return_elements=list(names), name=""
        )
        tf.compat.v1.saved_model.simple_save(session, str(folder), {"image": image}, {"answer": answer})


def _read_file(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return _dense(image, weights) + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _python(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.ensure_shape(tf.numpy_function(np.asarray, [_dense(image, weights)], tf.float32), [None, 3])


def _eager(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.ensure_shape(tf.py_function(tf.identity, [_dense(image, weights)], tf.float32), [None, 3])


def _loop(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.while_loop(lambda x: tf.reduce_sum(x) < 0, lambda x: (x * 2,), (_dense(image, weights),))[0]


def _nested(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.function(tf.function(lambda x: _read_file(x, weights)))(image)


def _random(image: Any, weights: Any) -> Any:
    return _dense(image, weights) + import_tensorflow().random.normal([3])


def _write(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    with tf.control_dependencies([tf.io.write_file("written", "x")]):
        return tf.identity(_dense(image, weights))


def _images(image: Any, _weights: Any) -> Any:
    return image * 2


def _percents(image: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    return tf.cast(_dense(image, weights) * 100, tf.int64)


def _encoded(data: Any, weights: Any) -> Any:
    tf = import_tensorflow()
    image = tf.image.resize(tf.io.decode_jpeg(data[0], channels=1), (8, 8))
    return _dense(image, weights)


IMAGES: list[int | None] = [None, 8, 8, 1]
REFUSED: dict[str, tuple[Answer, list[int | None], str, str]] = {
    "reads a file": (_read_file, IMAGES, "float32", "ReadFile"),
    "runs Python": (_python, IMAGES, "float32", "PyFunc"),
    "runs eager Python": (_eager, IMAGES, "float32", "EagerPyFunc"),
    "loops": (_loop, IMAGES, "float32", "While"),
    "reads in a nested function": (_nested, IMAGES, "float32", "ReadFile"),
    "draws numbers": (_random, IMAGES, "float32", "RandomStandardNormal"),
    "writes a file": (_write, IMAGES, "float32", "WriteFile"),
    "makes images": (_images, IMAGES, "float32", "one row for each image"),
    "gives integers": (_percents, IMAGES, "float32", "answers with int64"),
    "takes features": (lambda x, w: x @ w[:7], [None, 7], "float32", "takes 7 numbers"),
    "takes integers": (_dense, IMAGES, "int32", "takes int32"),
    "decodes files": (_encoded, [None], "string", "DecodeJpeg"),
    "takes a sequence": (lambda x, w: x[:, :64] @ w, [None, None], "float32", "a sequence"),
    "takes any size": (lambda x, w: _dense(x[:, :8, :8], w), [None, None, None, 1], "float32", "--size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_classifier_or_not_safe_is_refused(tmp_path: Path, name: str) -> None:
    """Operators beyond arithmetic, and other inputs and outputs, are refused by what was found."""
    answer, shape, dtype, message = REFUSED[name]
    folder = _module(tmp_path / "m", answer, shape, dtype)
    with pytest.raises(ModelError, match=message):
        sources.load(folder)


def test_a_refusal_does_not_import_tensorflow(tmp_path: Path) -> None:
    """The graph is read as data: TensorFlow, which would run it, is not there before the check."""
    folder = _module(tmp_path / "m", _read_file, IMAGES)
    script = (
        "import sys; from pathlib import Path; from edge_fm_exporters import sources\n"
        "try: sources.load(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert (ended.stdout.strip(), ended.stderr) == ("ModelError False", "")


def test_several_inputs_outputs_and_signatures_are_refused(tmp_path: Path) -> None:
    """Both names are in the message, and how to export another way."""
    tf = import_tensorflow()
    spec = tf.TensorSpec([None, 8, 8, 1], tf.float32)
    two = tf.function(lambda left, right: left + right, autograph=False)
    both = tf.function(lambda image: {"first": image, "second": image}, autograph=False)
    tf.saved_model.save(tf.Module(), str(tmp_path / "two"), two.get_concrete_function(spec, spec))
    tf.saved_model.save(tf.Module(), str(tmp_path / "both"), both.get_concrete_function(spec))
    traced = both.get_concrete_function(spec)
    tf.saved_model.save(tf.Module(), str(tmp_path / "many"), {"a": traced, "b": traced})
    with pytest.raises(ModelError, match=r"2 inputs and 1 outputs \(left, right to"):
        sources.load(tmp_path / "two")
    with pytest.raises(ModelError, match=r"1 inputs and 2 outputs \(image to first, second\)"):
        sources.load(tmp_path / "both")
    with pytest.raises(ModelError, match="signatures a, b, expected 'serving_default'"):
        sources.load(tmp_path / "many")


def test_damaged_files_are_a_sentence(tmp_path: Path) -> None:
    """A graph that ends anywhere is refused, with its variables or without."""
    folder = _module(tmp_path / "m", _dense, IMAGES)
    file = folder / "saved_model.pb"
    data = file.read_bytes()
    for length in (0, 1, 10, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(ModelError):
            sources.load(folder)
    file.write_bytes(data)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ModelError, match="cannot be read as a SavedModel"):
        sources.load(folder)


def test_a_constant_that_unfolds_to_gigabytes_is_refused(tmp_path: Path) -> None:
    """One number in the file that is a tensor of 2^40 is not made."""
    from tensorflow.core.protobuf import saved_model_pb2

    folder = _module(tmp_path / "m", _dense, IMAGES)
    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    body = model.meta_graphs[0].graph_def.library.function
    constant = next(node for function in body for node in function.node_def if node.op == "Const")
    del constant.attr["value"].tensor.tensor_shape.dim[:]
    constant.attr["value"].tensor.tensor_shape.dim.add(size=2**40)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="a constant of"):
        sources.load(folder)


@pytest.mark.parametrize(
    "data",
    [
        *(b"\x0a\x05abc", b"\x0b", b"\x0c", b"\x08", b"\x08\xff", b"\xff" * 11, b"\x09\x00", b"\x0d\x00\x00"),
        *(b"\x0a\xff\xff\xff\xff\x0f", b"\x0e\x00", b"\x0f"),
    ],
)
def test_bytes_that_are_no_protocol_buffer(data: bytes) -> None:
    """Lengths that lie, unknown kinds and numbers without an end are an error, and no other one."""
    with pytest.raises(ProtobufError):
        Message(memoryview(data))


def test_functions_that_call_each_other_without_end() -> None:
    """A function that calls itself, and forty that each call the next one twice, are refused."""
    main = {"out": graph.Node("out", "PartitionedCall", (), ("f0",))}
    itself = {"f0": [graph.Node("inner", "PartitionedCall", (), ("f0",))]}
    with pytest.raises(ProtobufError, match="calls itself"):
        graph._reachable(main, itself, "out")
    twice = {
        f"f{level}": [graph.Node(f"n{side}", "PartitionedCall", (), (f"f{level + 1}",)) for side in range(2)]
        for level in range(40)
    }
    with pytest.raises(ProtobufError, match="nodes in all"):
        graph._reachable(main, twice | {"f40": []}, "out")
