"""Pixel scales: written into the file, and found where none is given."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW, UNIT, Scale, parse_scale, standard_scale
from edge_fm_exporters.normalization.search import find_scale
from edge_fm_exporters.sources import keras
from edge_fm_runtime.errors import ExportError
from tests.exporters.networks import exported, shaken

pytestmark = pytest.mark.train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "channels", "shifts"),
    [
        (Scale("standard", (73.0,), (90.0,)), 1, 0),  # a pixel's value becomes zero: DequantizeLinear does it
        (Scale("standard", (72.94,), (90.02,)), 1, 1),
        (Scale("standard", (127.5,), (127.5,)), 1, 1),
        (Scale("standard", (120.0, 110.0, 100.0), (60.0, 59.0, 58.0)), 3, 0),
        (Scale("standard", (123.68, 116.78, 103.94), (58.4, 57.1, 57.4)), 3, 1),
        (Scale("standard", (9.0, 9.0, 9.0), (58.4, 57.1, 57.4)), 3, 0),
    ],
)
def test_standardised_pixels(scale: Scale, channels: int, shifts: int, tmp_path: Path) -> None:
    """A mean and deviation per channel become one node, and one Add where no pixel becomes zero."""
    k = import_keras()
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = exported(keras.load(tmp_path / "model.keras"), scale, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, shifts, 0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_that_scale_become_the_one_node(channels: int, tmp_path: Path) -> None:
    """Rescaling and Normalization layers are folded into the node at the input."""
    k = import_keras()
    mean, variance = [0.1, 0.2, 0.3][:channels], [0.5, 0.6, 0.7][:channels]
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Rescaling(1 / 127.5, offset=-1),
                k.layers.Normalization(mean=mean, variance=variance),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = exported(keras.load(tmp_path / "model.keras"), RAW, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grey", "expected unit, raw, standard"),
        ("standard:1", "expected unit, raw, standard"),
        ("standard:a:b", "expected unit, raw, standard"),
        ("standard:1:0", "above zero"),
        ("standard:1,2:3", "as many means as deviations"),
        ("standard:nan:1", "above zero"),
        ("standard", "--data"),
    ],
)
def test_an_invalid_scale_is_refused(text: str, said: str) -> None:
    """Each mistake is answered with what can be written."""
    with pytest.raises(ExportError, match=said):
        parse_scale(text, None)


def test_means_for_other_channels_are_refused(tmp_path: Path) -> None:
    """Three means for a grey network are a sentence that says both numbers, not a failure inside Keras."""
    k = import_keras()
    k.Sequential([k.Input((8, 8, 1)), k.layers.Flatten(), k.layers.Dense(3, activation="softmax")]).save(
        tmp_path / "model.keras"
    )
    request = ExportRequest(
        source=tmp_path / "model.keras",
        output=tmp_path / "m.onnx",
        labels=("a", "b", "c"),
        scale=parse_scale("standard:1,2,3:4,5,6", None),
    )
    with pytest.raises(ExportError, match="3 means, and the pictures have 1 channel:"):
        export(request, None)
    assert not (tmp_path / "m.onnx").exists()


def test_the_scale_of_two_classes_is_found(tmp_path: Path) -> None:
    """The scale of a two-class network with 90 % accuracy is found, where chance is one half."""
    k = import_keras()
    labels = np.arange(200) % 2
    images = np.where(labels[:, None, None, None] == 1, 200, 60).astype(np.uint8) * np.ones(
        (1, 8, 8, 1), np.uint8
    )
    model = k.Sequential(
        [k.Input((8, 8, 1)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(2, activation="softmax")]
    )
    # Bright is above one half of [0, 1]; of [0, 255] everything is.
    model.layers[-1].set_weights([np.array([[-9.0, 9.0]]), np.array([4.5, -4.5])])
    model.save(tmp_path / "model.keras")
    flipped = np.where(np.arange(200) % 10 == 0, 1 - labels, labels)
    found, scores = find_scale(
        keras.load(tmp_path / "model.keras"), LabelledImages("shades", "train", images, flipped)
    )
    assert found == UNIT
    assert dict(scores)[UNIT] == pytest.approx(0.9)


def test_the_scale_is_found_among_all(tmp_path: Path) -> None:
    """The scale of a network for standardised pixels is found, with the data's own mean."""
    k = import_keras()
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    shades = np.array([20, 90, 160])[labels]
    images = np.clip(shades[:, None, None, None] + rng.normal(0, 9, (300, 8, 8, 1)), 0, 255).astype(np.uint8)
    scale = standard_scale(images)
    mean = k.Sequential(
        [k.Input((8, 8, 1)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(3, activation="softmax")]
    )
    # Dark is below -0.6 deviations, bright above 0.6, which no other scale of these pixels spans alike.
    mean.layers[-1].set_weights([np.array([[-20.0, 0.0, 20.0]]), np.array([-12.0, 0.0, -12.0])])
    mean.save(tmp_path / "model.keras")
    found, scores = find_scale(
        keras.load(tmp_path / "model.keras"), LabelledImages("shades", "train", images, labels)
    )
    assert found == scale
    assert max(score for _, score in scores) == 1.0
    assert scale.apply(images).mean() == pytest.approx(0, abs=1e-4)
    assert scale.apply(images).std() == pytest.approx(1, abs=1e-4)
