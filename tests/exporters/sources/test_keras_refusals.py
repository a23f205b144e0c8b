"""Keras models that an export refuses, and the messages."""

from pathlib import Path

import pytest

from edge_fm.datasets import Dataset
from edge_fm_exporters import ExportData, ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_runtime.errors import ExportError, ModelError, OutputError
from tests.exporters.networks import SEED_CNN, save, small

pytestmark = pytest.mark.train


def test_a_lambda_layer_is_refused_by_name(tmp_path: Path) -> None:
    """A layer that is code is named, and never run."""
    keras = import_keras()
    source = tmp_path / "m.keras"
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Lambda(lambda x: x * 2, name="evil"), *small(keras.layers)]
    )
    model.save(source)
    with pytest.raises(ModelError, match="Lambda layer 'evil'"):
        export(
            ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT), None
        )
    assert not (tmp_path / "m.onnx").exists()


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Three outputs and two labels is an error that says both numbers."""
    source = save(tmp_path / "m.keras", small)
    with pytest.raises(ModelError, match="3 outputs and 2 labels"):
        export(ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b"), scale=UNIT), None)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes, suffix: str) -> None:
    """A damaged source is a sentence."""
    source = tmp_path / f"m{suffix}"
    source.write_bytes(content)
    with pytest.raises(ModelError, match="no whole Keras model"):
        export(ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b"), scale=UNIT), None)


def test_what_is_no_picture_classifier(tmp_path: Path) -> None:
    """A table of features is refused: an image was expected."""
    keras = import_keras()
    keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="expected images"):
        export(
            ExportRequest(
                source=tmp_path / "m.keras", output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT
            ),
            None,
        )


def test_int8_without_images_names_the_option(tmp_path: Path) -> None:
    """int8 cannot be calibrated on nothing."""
    source = save(tmp_path / "m.keras", small)
    with pytest.raises(ExportError, match="--data"):
        export(
            ExportRequest(
                source=source, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT, int8=True
            ),
            None,
        )


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing folder is noticed before the work begins."""
    with pytest.raises(OutputError, match="does not exist"):
        export(
            ExportRequest(source=SEED_CNN, output=tmp_path / "no" / "m.onnx", labels=("a",), scale=UNIT), None
        )


def test_pictures_of_another_size_are_refused(tmp_path: Path, wardrobe: Dataset) -> None:
    """Data that does not fit the model is named with both shapes."""
    source = save(tmp_path / "m.keras", small, shape=(32, 32, 1))
    test = LabelledImages(wardrobe.name, "test", wardrobe.test.images, wardrobe.test.labels)
    data = ExportData(
        name=wardrobe.name, licence=wardrobe.licence, calibration=wardrobe.train.images, test=test
    )
    with pytest.raises(ModelError, match=r"\(32, 32, 1\).*\(28, 28, 1\)"):
        export(
            ExportRequest(source=source, output=tmp_path / "m.onnx", labels=("a", "b", "c"), scale=UNIT), data
        )
