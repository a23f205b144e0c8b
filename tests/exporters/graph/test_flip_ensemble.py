"""`export --tta flip`: one file that answers a picture and its mirror image with their mean."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import Dataset
from edge_fm_exporters import ExportData, ExportRequest, ExportResult, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph.summary import summarise
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import search
from edge_fm_exporters.quantization.search import Int8Limits
from edge_fm_exporters.quantization.static import Calibration
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.classifier import Classifier
from tests.conftest import RunCli
from tests.exporters.networks import SEED_CNN

pytestmark = pytest.mark.train


def exported(
    dataset: Dataset, path: Path, *, int8: bool = False, opset: int = 17, batch: int | None = None
) -> ExportResult:
    """Export the seed CNN together with its mirror image."""
    first, second = dataset.train.take(np.arange(200)), dataset.train.take(np.arange(200, 1000))
    data = ExportData(
        name=dataset.name,
        licence=dataset.licence,
        calibration=first.images,
        test=LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels),
        selection=LabelledImages("the choice", "training", second.images, second.labels),
    )
    request = ExportRequest(
        source=SEED_CNN,
        output=path,
        labels=dataset.class_names,
        scale=UNIT,
        int8=int8,
        limits=Int8Limits(0.02, 0.1, 0.0),
        opset=opset,
        batch=batch,
        flip_ensemble=True,
    )
    return export(request, data)


@pytest.fixture(scope="module")
def both(wardrobe: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the float32 file of the seed CNN together with its mirror image."""
    path = tmp_path_factory.mktemp("both") / "both.onnx"
    exported(wardrobe, path)
    return path


def keras_mean(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean of what Keras says of pictures and of their mirror images."""
    model = import_keras().saving.load_model(SEED_CNN, compile=False)
    both = [
        model.predict(views.astype(np.float32) / 255, batch_size=500, verbose=0)
        for views in (images, images[:, :, ::-1])
    ]
    return np.asarray(np.mean(both, axis=0), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 18])
def test_float32_answers_as_the_mean_of_keras(
    both: Path, wardrobe: Dataset, tmp_path: Path, opset: int
) -> None:
    """Probabilities are within 1e-5 of the source's mean, and an image equals its flip."""
    if opset != 17:
        both = tmp_path / "both.onnx"
        exported(wardrobe, both, opset=opset)
    classifier, images = Classifier.load(both), wardrobe.test.images
    found = classifier.probabilities(images)
    assert np.abs(found - keras_mean(images)).max() <= 1e-5
    np.testing.assert_allclose(classifier.probabilities(images[:, :, ::-1].copy()), found, atol=1e-6)
    alone = np.concatenate([classifier.probabilities(images[index : index + 1]) for index in range(20)])
    np.testing.assert_allclose(alone, found[:20], atol=1e-6)
    single = import_keras().saving.load_model(SEED_CNN, compile=False)
    own = single.predict(images.astype(np.float32) / 255, batch_size=500, verbose=0)
    assert np.abs(found - own).max() > 0.1


@pytest.mark.slow
def test_int8_is_verified_against_the_same_mean(wardrobe: Dataset, tmp_path: Path) -> None:
    """Every int8 candidate averages both views, and its evidence is against that mean."""
    result = exported(wardrobe, tmp_path / "both.onnx", int8=True)
    assert result.passport.precision.kind is PrecisionKind.INT8
    views = wardrobe.test.images, np.ascontiguousarray(wardrobe.test.images[:, :, ::-1])
    for candidate in result.candidates:
        path = tmp_path / "candidate.onnx"
        path.write_bytes(candidate.data)
        classifier = Classifier.load(path, wardrobe.class_names)
        straight, mirrored = (classifier.probabilities(view) for view in views)
        np.testing.assert_allclose(straight, mirrored, atol=1e-6)
    evidence = result.passport.evidence[0]
    assert evidence.source_accuracy == np.mean(keras_mean(views[0]).argmax(axis=1) == wardrobe.test.labels)


@pytest.mark.slow
def test_a_file_of_a_fixed_batch(both: Path, wardrobe: Dataset, tmp_path: Path) -> None:
    """With --batch 4 it takes four pictures and answers four, the same as with any number."""
    exported(wardrobe, tmp_path / "four.onnx", batch=4)
    images = wardrobe.test.images[:4]
    four, free = (Classifier.load(path).probabilities(images) for path in (tmp_path / "four.onnx", both))
    assert four.shape == (4, 10)
    np.testing.assert_allclose(four, free, atol=1e-6)


@pytest.mark.slow
def test_the_work_is_counted_twice(both: Path) -> None:
    """`inspect` counts the multiply-adds of both views, and the parameters once."""
    found = {layer.name: layer for layer in summarise(both.read_bytes()).layers}
    assert found["conv_1"].multiply_adds == 2 * 28 * 28 * 32 * 3 * 3
    assert sum(layer.parameters for layer in found.values()) == 333_526


@pytest.mark.slow
def test_from_the_command_line(cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--tta flip goes all the way: the file verifies, and inspect shows where the mirror image comes from."""
    monkeypatch.setattr(search, "Calibration", [Calibration.MINMAX])
    out = tmp_path / "both.onnx"
    made = cli(
        "export", SEED_CNN, "--data", "wardrobe", "--scale", "unit", "--int8", "--min-speedup", 0,
        "--max-drop", 0.05, "--max-class-drop", 0.2, "--tta", "flip", "-o", out,
    )  # fmt: skip
    assert made.code == 0
    assert "each image and its mirror image" in cli("inspect", out).out
    assert "mirror" not in cli("inspect", "digits").out
    assert cli("verify", out).code == 0


def test_what_has_a_left_and_a_right(cli: RunCli, tmp_path: Path) -> None:
    """A loss of accuracy by flips is reported with both figures."""
    half = np.zeros((400, 28, 28, 1), np.uint8)
    labels = np.arange(400) % 2
    half[labels == 0, :, :14], half[labels == 1, :, 14:] = 255, 255
    np.savez(tmp_path / "sides.npz", x_train=half, y_train=labels, x_test=half, y_test=labels)
    keras = import_keras()
    side = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    kernel = np.zeros((784, 2), np.float32)
    kernel.reshape(28, 28, 2)[:, :14, 0] = kernel.reshape(28, 28, 2)[:, 14:, 1] = 0.01
    side.layers[-1].set_weights([kernel, np.array([0.001, 0], np.float32)])
    side.save(tmp_path / "side.keras")
    made = cli(
        "export", tmp_path / "side.keras", "--data", tmp_path / "sides.npz", "--scale", "unit", "--tta", "flip",
        "-o", tmp_path / "side.onnx",
    )  # fmt: skip
    assert made.code == 0
    told = re.search(r": 1\.0000, with --tta flip (0\.\d+)", made.out)
    assert told is not None
    assert float(told[1]) < 0.7
    assert "export without --tta flip" in made.err
