"""TensorFlow Lite files as sources: each number format against the interpreter, and the refusals."""

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_exporters import ExportRequest, export, sources
from edge_fm_exporters.framework import import_keras, import_tensorflow
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.normalization.scale import Scale
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.keras_recipe import SYMMETRIC
from edge_fm_runtime.artifact.input_spec import Fit
from edge_fm_runtime.errors import ModelError
from tests.exporters.networks import depthwise, one_sigmoid, residual, shaken
from tests.exporters.sources import tflite_files as lite
from tests.exporters.sources.tflite_files import Fields, build, classifier, graph_of

pytestmark = pytest.mark.train

Change = Callable[[Fields], None]


def _operator(index: int, field: int, value: Any) -> Change:
    return lambda file: graph_of(file)[3][index].update({field: value})


def _tensor(index: int, changed: Fields) -> Change:
    return lambda file: graph_of(file)[0].__setitem__(index, changed)


def _graph(field: int, value: Any) -> Change:
    return lambda file: graph_of(file).update({field: value})


def _code(index: int, number: int, name: str = "") -> Change:
    code = {0: ("Int8", min(number, 127)), 3: lite.number(number), **({1: name} if name else {})}
    return lambda file: file[1].__setitem__(index, code)


def _int32(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _bytes(*values: int) -> NDArray[np.uint8]:
    return np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)


def _square(file: Fields) -> None:
    """Make the first operator answer with images."""
    graph_of(file)[2] = _int32(2)
    file[4][1] = {0: _bytes(-1, 4, 16)}
    graph_of(file)[0][1] = lite.tensor((3,), 1, lite.INT32)
    graph_of(file)[3] = graph_of(file)[3][:1]


REFUSED: dict[str, tuple[Change, str]] = {
    "custom": (_code(2, 32, "FlexReadFile"), "custom operator 'FlexReadFile'"),
    "loop": (_code(2, 119), "WHILE"),
    "recurrent": (_code(2, 44), "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    "unknown operator": (_code(2, 999), "the operator 999"),
    "two inputs": (_graph(1, _int32(0, 1)), "2 inputs and 1 outputs"),
    "two outputs": (_graph(2, _int32(5, 6)), "1 inputs and 2 outputs"),
    "no outputs": (_graph(2, _int32()), "1 inputs and 0 outputs"),
    "no graph": (lambda file: file.update({2: []}), "no graph"),
    "input out of range": (_graph(1, _int32(70)), "the tensor 70 of 7"),
    "operand out of range": (_operator(1, 1, _int32(2, 3, 99)), "the tensor 99 of 7"),
    "negative operand": (_operator(1, 1, _int32(-9, 3, 4)), "the tensor -9 of 7"),
    "kind out of range": (_operator(0, 0, ("Uint32", 8)), "an operator of kind 8, expected under 3"),
    "out of order": (_operator(0, 1, _int32(5, 1)), "reads a tensor that nothing has written"),
    "written twice": (_operator(2, 2, _int32(2)), "writes a tensor that is there already"),
    "writes a constant": (_operator(2, 2, _int32(3)), "writes a tensor that is there already"),
    "buffer out of range": (_tensor(3, lite.tensor((3, 64), 50)), "in buffer 50 of 4"),
    "other size": (_tensor(3, lite.tensor((3, 65), 2)), "has 768 bytes, expected 780"),
    "negative shape": (_tensor(3, lite.tensor((-3, 64), 2)), "of shape"),
    "huge shape": (_tensor(2, lite.tensor((2**30, 2**30))), "of shape"),
    "string": (_tensor(0, lite.tensor((1,), kind=5)), "of type 5"),
    "sparse": (_tensor(3, {**lite.tensor((3, 64), 2), 6: {}}), "sparse"),
    "outside": (lambda file: file[4].__setitem__(2, {1: ("Uint64", 4096)}), "outside the flatbuffer"),
    "scales": (
        _tensor(3, lite.tensor((3, 64), 2, quantization=lite.quantization([1, 1], [0, 0]))),
        "2 scales for axis 0",
    ),
    "zero points": (
        _tensor(3, lite.tensor((3, 64), 2, quantization=lite.quantization([1, 1, 1], [0]))),
        "3 scales with 1 zero points",
    ),
    "no number": (
        _tensor(3, lite.tensor((3, 64), 2, quantization=lite.quantization([float("nan")], [0]))),
        "no number",
    ),
    "integer input": (_tensor(0, lite.tensor((1, 8, 8, 1), kind=lite.INT32)), "takes int32"),
    "features": (_tensor(0, lite.tensor((1, 7))), "takes 7 numbers, expected images"),
    "sequence": (_tensor(0, lite.tensor((1, 1), signature=(-1, -1))), "a sequence of any length"),
    "video": (_tensor(0, lite.tensor((1, 4, 4, 4, 1))), "expected images"),
    "any size": (_tensor(0, lite.tensor((1, 1, 1, 1), signature=(-1, -1, -1, 1))), "--size 224x224"),
    "real shape": (_tensor(1, lite.tensor((2,), 1, lite.FLOAT)), "real numbers, expected integers"),
    "other weights": (_tensor(0, lite.tensor((1, 8, 9, 1))), "reshapes 72 numbers"),
    "mixed batch": (lambda file: file[4].__setitem__(1, {0: _bytes(64, 1)}), "which mixes images"),
    "computed weights": (_operator(1, 1, _int32(2, 0, 4)), "its input 1 is computed"),
    "other options": (_operator(2, 3, ("Uint8", 1)), "a SOFTMAX with the options of another operator"),
    "images out": (_square, "one row for each image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_or_no_classifier_is_refused(tmp_path: Path, name: str) -> None:
    """Each fault of a file is a sentence that says what was found."""
    change, message = REFUSED[name]
    file = classifier()
    change(file)
    path = tmp_path / "m.tflite"
    path.write_bytes(build(file))
    with pytest.raises(ModelError, match=message):
        sources.load(path)


def test_a_refusal_does_not_import_tensorflow(tmp_path: Path) -> None:
    """A file is read as data: TensorFlow, which would run it, is not there before the check."""
    file = classifier()
    _code(2, 119)(file)
    path = tmp_path / "m.tflite"
    path.write_bytes(build(file))
    script = (
        "import sys; from pathlib import Path; from edge_fm_exporters import sources\n"
        "try: sources.load(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert (ended.stdout.strip(), ended.stderr) == ("ModelError False", "")


def test_no_truncation_is_more_than_a_sentence(tmp_path: Path) -> None:
    """A file that ends anywhere is refused or, if only padding is missing, read."""
    data = build(classifier())
    path = tmp_path / "m.tflite"
    for length in range(8, len(data) - 8, 23):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"no whole \.tflite file"):
            sources.load(path)


@pytest.mark.slow
def test_offsets_that_lie_lead_nowhere(tmp_path: Path) -> None:
    """A file with any four bytes overwritten is read within itself or refused in a sentence."""
    from edge_fm_exporters.sources.tflite.conversion import convert
    from edge_fm_exporters.sources.tflite.reading import read

    data = build(classifier())
    path = tmp_path / "m.tflite"
    refused = 0
    for place in range(0, len(data), 4):
        for lie in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00\x10\x00\x00"):
            path.write_bytes(data[:place] + lie + data[place + 4 :])
            try:
                convert(read(path), 17, (1, 8, 8, 1))
            except ModelError:
                refused += 1
    assert refused > 100


def test_a_dense_classifier_answers_as_the_interpreter(tmp_path: Path) -> None:
    """A file without anything that a converter adds is exported with its own answers."""
    path = tmp_path / "m.tflite"
    path.write_bytes(build(classifier()))
    source = sources.load(path)
    assert (source.spec.shape, source.classes, source.notes) == ((8, 8, 1), 3, ())
    assert _difference(source) < 1e-6


NETWORKS: dict[str, Callable[[], Any]] = {
    "depthwise": depthwise,
    "residual": residual,
    "sigmoid": one_sigmoid,
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return a function from a network's name and its number format to a file, made once."""
    folder = tmp_path_factory.mktemp("tflite")

    def convert(network: str, numbers: str) -> Path:
        path = folder / f"{network}-{numbers}.tflite"
        if not path.exists():
            import_keras().utils.set_random_seed(0)
            path.write_bytes(_convert(shaken(NETWORKS[network]()), numbers))
        return path

    return convert


def _convert(model: Any, numbers: str) -> bytes:
    """Return a file with a network's weights in float32, float16, dynamic, int8, or with uint8 ends."""
    tf = import_tensorflow()
    shape = (1, *model.input_shape[1:])
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set_numbers(converter, numbers, shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bytes(converter.convert())


def _set_numbers(converter: Any, numbers: str, shape: tuple[int, ...]) -> None:
    tf = import_tensorflow()
    if numbers != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if numbers == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if numbers in {"int8", "uint8"}:
        images = np.random.default_rng(2).random((20, *shape), np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
    if numbers == "uint8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8


def _difference(source: SourceModel) -> float:
    """Return the largest difference of a probability between the source and its graph, on noise."""
    import onnxruntime

    pixels = np.random.default_rng(1).integers(0, 256, (20, *source.spec.shape), np.uint8)
    scale = Scale("raw", (0.0,), (1.0,)) if source.scale == "raw" else Scale("unit", (0.0,), (255.0,))
    images = scale.apply(pixels)
    graph = cleanup.clean(source.convert(17)).SerializeToString()
    answers = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return float(np.abs(answers.run(None, {"image": images})[0] - source.predict(images)).max())


FORMATS = {
    "float32": (1e-5, "", ""),
    "float16": (1e-5, "", "float16 weights"),
    "dynamic": (0.05, "", ""),  # the converter leaves small weights as they are
    "int8": (0.05, "unit", "is int8; dequantised"),
    "uint8": (0.05, "raw", "is int8; dequantised"),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("numbers", FORMATS)
def test_every_number_format_answers_as_the_interpreter(
    converted: Callable[[str, str], Path], network: str, numbers: str
) -> None:
    """float32 and float16 keep their answers; int8 is dequantised, said so, and near them."""
    limit, scale, note = FORMATS[numbers]
    source = sources.load(converted(network, numbers))
    said = " ".join(source.notes)
    assert note in said
    assert note or not [word for word in ("int8", "float16", "dequantised") if word in said]
    assert source.scale == scale
    assert _difference(source) < limit


@pytest.mark.slow
def test_int8_is_exported_within_what_its_own_rounding_makes(
    converted: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """An int8 file passes the pipeline's parity although float32 rounds otherwise."""
    source = sources.load(converted("depthwise", "uint8"))
    labels = tuple("abcdefghij")
    output = tmp_path / "m.onnx"
    request = ExportRequest(
        source=source.path, output=output, labels=labels, scale=Scale("raw", (0.0,), (1.0,))
    )
    export(request, None, source)
    assert output.exists()
    assert source.rounding > source.max_difference


def _teachable(size: int, channels: int) -> Any:
    k = import_keras()
    return k.Sequential(
        [
            k.Input((size, size, channels)),
            k.layers.Conv2D(4, 3, strides=8),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(100, activation="relu"),
            k.layers.Dense(3, activation="softmax", use_bias=False),
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("size", "channels"), [(224, 3), (96, 1)])
def test_teachable_machine_is_recognised(tmp_path: Path, size: int, channels: int) -> None:
    """Its structure shows pixels in [-1, 1] and a centre crop."""
    path = tmp_path / "model_unquant.tflite"
    path.write_bytes(_convert(_teachable(size, channels), "float32"))
    source = sources.load(path)
    assert (source.scale, source.fit) == (SYMMETRIC, Fit.CROP)
    assert "Teachable Machine" in source.notes[0]
