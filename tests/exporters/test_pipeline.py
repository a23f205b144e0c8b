"""The export of Keras models: parity on real arrays."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm_exporters import ExportData, ExportRequest, ExportResult, export
from edge_fm_exporters.framework import import_keras, versions
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW, UNIT
from edge_fm_exporters.quantization.search import Int8Limits
from edge_fm_exporters.quantization.static import Calibration
from edge_fm_exporters.sources import keras
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.golden import replay
from tests.exporters.networks import SEED_CNN, save, small

pytestmark = pytest.mark.train


def pictures(dataset: Dataset) -> ExportData:
    """Return a data set as the exporter takes it."""
    test = LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels)
    return ExportData(
        name=dataset.name,
        licence=dataset.licence,
        calibration=dataset.train.sample(300, 0).images,
        test=test,
    )


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return the drawn garments."""
    return datasets.load("wardrobe")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, wardrobe: Dataset) -> tuple[Path, ExportResult]:
    """Return the seed CNN as float32."""
    path = tmp_path_factory.mktemp("fp32") / "cnn.onnx"
    request = ExportRequest(source=SEED_CNN, output=path, labels=wardrobe.class_names, scale=UNIT)
    return path, export(request, pictures(wardrobe))


def keras_probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what Keras itself says of the pictures."""
    model = import_keras().saving.load_model(path, compile=False)
    return np.asarray(model.predict(images.astype(np.float32) / 255, batch_size=500, verbose=0), np.float32)


def onnx_probabilities(path: Path, images: NDArray[np.uint8], batch: int = 500) -> NDArray[np.float32]:
    """Return what the file says of them, through the runtime."""
    classifier = Classifier.load(path)
    return np.concatenate(
        [classifier.probabilities(images[start : start + batch]) for start in range(0, len(images), batch)]
    )


def test_float32_answers_as_keras(exported: tuple[Path, ExportResult], wardrobe: Dataset) -> None:
    """Every probability of 1,000 pictures is within 1e-5 of Keras, every label the same."""
    expected = keras_probabilities(SEED_CNN, wardrobe.test.images)
    found = onnx_probabilities(exported[0], wardrobe.test.images)
    assert np.abs(expected - found).max() <= 1e-5
    assert (expected.argmax(axis=1) == found.argmax(axis=1)).all()


@pytest.mark.parametrize("batch", [1, 7])
def test_any_batch_size_gives_the_same(
    exported: tuple[Path, ExportResult], wardrobe: Dataset, batch: int
) -> None:
    """The batch is free, and does not change an answer."""
    images = wardrobe.test.images[:21]
    np.testing.assert_allclose(
        onnx_probabilities(exported[0], images, batch), onnx_probabilities(exported[0], images), atol=1e-6
    )


def test_the_graph_is_what_one_would_write_by_hand(exported: tuple[Path, ExportResult]) -> None:
    """Named input and output, uint8 in, opset as asked, and no leftover of the conversion."""
    import onnx

    model = onnx.load(exported[0])
    operators = [node.op_type for node in model.graph.node]
    convolutions = ["Conv", "Relu", "MaxPool"] * 2
    assert operators == [
        "DequantizeLinear",
        "Reshape",
        *convolutions,
        "Reshape",
        "Gemm",
        "Relu",
        "Gemm",
        "Softmax",
    ]
    assert model.graph.input[0].name == "image"
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert model.graph.output[0].name == "probabilities"
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


def test_the_passport_tells_the_truth(exported: tuple[Path, ExportResult], wardrobe: Dataset) -> None:
    """Labels, evidence and golden probabilities in the passport are the measured ones."""
    path, result = exported
    classifier = Classifier.load(path)
    assert classifier.passport == result.passport
    assert classifier.passport.labels == wardrobe.class_names
    evidence = classifier.passport.evidence[0]
    accuracy = (onnx_probabilities(path, wardrobe.test.images).argmax(axis=1) == wardrobe.test.labels).mean()
    assert evidence.accuracy == pytest.approx(float(accuracy))
    assert (evidence.data, evidence.split, evidence.images) == ("wardrobe", "test", 1000)
    assert [r.stage for r in replay(classifier)] == [""] * 8
    tensors = np.frombuffer(b"".join(golden.tensor for golden in classifier.passport.golden), np.uint8)
    rows = [golden.own for golden in classifier.passport.golden]
    measured = onnx_probabilities(path, tensors.reshape(-1, 28, 28, 1))
    np.testing.assert_array_equal(np.array(rows, np.float32), measured)
    assert max(len(repr(value)) for row in rows for value in row) <= len("1.23456789e-10")


@pytest.mark.slow
def test_int8_keeps_the_accuracy_at_a_third_of_the_size(wardrobe: Dataset, tmp_path: Path) -> None:
    """int8 loses at most 0.005 on the drawn garments and is at most 0.3 of the size."""
    import onnx

    path = tmp_path / "cnn.onnx"
    request = ExportRequest(
        source=SEED_CNN,
        output=path,
        labels=wardrobe.class_names,
        scale=UNIT,
        int8=True,
        limits=Int8Limits(0.005),
    )
    result = export(request, pictures(wardrobe))
    assert result.passport.precision.kind is PrecisionKind.INT8
    assert result.kept_fp32 == ""
    assert result.size_bytes <= 0.3 * result.fp32_size_bytes
    evidence = result.passport.evidence[0]
    assert evidence.accuracy is not None
    assert evidence.source_accuracy is not None
    assert evidence.source_accuracy - evidence.accuracy <= 0.005
    weights = [
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(path).graph.initializer
        if t.data_type == onnx.TensorProto.INT8
    ]
    # Seven bits: two products of eight would saturate in 16 on a processor without VNNI.
    assert max(int(np.abs(w.astype(int)).max()) for w in weights if w.size > 1) <= 64


@pytest.mark.slow
def test_int8_that_does_not_hold_is_not_used(
    wardrobe: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quantisation that loses too much leaves the float32 file, and says why."""
    from edge_fm_exporters.quantization import search, static

    monkeypatch.setattr(search, "Calibration", [Calibration.MINMAX])
    useful = static.quantize
    monkeypatch.setattr(
        static, "quantize", lambda model, images, recipe, nodes: useful(model, images * 0.01, recipe, nodes)
    )
    # With its worst layers in float again it is accurate, and as fast as float32 but for the machine's noise.
    request = ExportRequest(
        source=SEED_CNN,
        output=tmp_path / "cnn.onnx",
        labels=wardrobe.class_names,
        scale=UNIT,
        int8=True,
        limits=Int8Limits(min_speedup=1.25),
    )
    result = export(request, pictures(wardrobe))
    assert result.passport.precision.kind is PrecisionKind.FP32
    assert "--max-drop" in result.kept_fp32 or "--min-speedup" in result.kept_fp32


@pytest.mark.slow
@pytest.mark.real_data
def test_parity_on_the_real_test_set(tmp_path: Path) -> None:
    """On 10,000 real test images, float32 and int8 match Keras as the passport states."""
    dataset = datasets.load("fashion-mnist")
    images, labels = dataset.test.images, dataset.test.labels
    assert images.shape == (10_000, 28, 28, 1)
    expected = keras_probabilities(SEED_CNN, images)
    accuracy = (expected.argmax(axis=1) == labels).mean()
    assert accuracy >= 0.912
    sizes = {}
    for int8 in (False, True):
        path = tmp_path / f"{int8}.onnx"
        made = export(
            ExportRequest(
                source=SEED_CNN,
                output=path,
                labels=dataset.class_names,
                scale=UNIT,
                int8=int8,
                limits=Int8Limits(0.005),
            ),
            pictures(dataset),
        )
        found = onnx_probabilities(path, images)
        exported_accuracy = (found.argmax(axis=1) == labels).mean()
        sizes[int8] = path.stat().st_size
        # int8's passport also says how it was quantised, and its figures have other digits.
        assert abs(made.fp32_size_bytes - sizes[False]) <= (500 if int8 else 0)
        assert Classifier.load(path).passport.precision.kind is (
            PrecisionKind.INT8 if int8 else PrecisionKind.FP32
        )
        if int8:
            assert accuracy - exported_accuracy <= 0.005
        else:
            assert abs(accuracy - exported_accuracy) <= 0.0001
            assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9999
            assert np.abs(found - expected).max() <= 1e-5
    assert sizes[True] <= 0.3 * sizes[False]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["fashion", "fashion-nano"])
def test_a_bundled_model_scores_as_its_passport_states(name: str) -> None:
    """A bundled model is right on the real test set as often as its passport says."""
    classifier = Classifier.load(name)
    dataset = datasets.load("fashion-mnist", classifier.passport.input)
    answers = np.concatenate(
        [classifier.probabilities(dataset.test.images[i : i + 500]) for i in range(0, 10_000, 500)]
    )
    evidence = classifier.passport.evidence[0]
    assert evidence.accuracy is not None
    assert (answers.argmax(axis=1) == dataset.test.labels).mean() == pytest.approx(
        evidence.accuracy, abs=0.0005
    )


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 24, 3)])
def test_formats_sizes_and_channels(tmp_path: Path, suffix: str, shape: tuple[int, int, int]) -> None:
    """Both file formats, other sizes and RGB export without data, verified on noise."""
    source = save(tmp_path / f"m{suffix}", small, shape=shape)
    result = export(
        ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=RAW), None
    )
    evidence = result.passport.evidence[0]
    assert (evidence.data, evidence.accuracy) == ("noise", None)
    assert evidence.max_probability_difference <= 1e-5
    assert Classifier.load(tmp_path / "m.onnx").passport.input.shape == shape


def test_a_model_is_asked_where_nothing_converts(monkeypatch: pytest.MonkeyPatch, wardrobe: Dataset) -> None:
    """A teacher on JAX without a converter answers as anywhere, and names its tools."""
    version = importlib.metadata.version

    def without_converters(name: str) -> str:
        if name in {"tensorflow", "tf2onnx"}:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_converters)
    source = keras.load(SEED_CNN)
    assert [name for name, _ in source.tools] == ["keras", "onnx"]
    images = wardrobe.test.images[:20]
    answers = source.predict(images.astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(answers, keras_probabilities(SEED_CNN, images), atol=1e-6)
    assert (
        versions({"keras": "1", "tf2onnx": "2"})
        == f"installed are keras {version('keras')}; tested are keras 1, tf2onnx 2"
    )
