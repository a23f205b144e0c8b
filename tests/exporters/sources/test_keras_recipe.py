"""Networks of `keras.applications`, recognised by their configuration."""

from pathlib import Path
from typing import Any

import pytest

from edge_fm_exporters import sources
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.sources.keras_recipe import training_recipe

pytestmark = pytest.mark.train


def config_of(model: Any) -> dict[str, Any]:
    """Return a model's configuration as its file holds it."""
    k = import_keras()
    config: dict[str, Any] = k.saving.serialize_keras_object(model)
    return config


def test_a_whole_application_has_its_own_pixels() -> None:
    """A network with its 1,000 classes takes what its `preprocess_input` gives."""
    applications = import_keras().applications
    whole = applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(32, 32, 3))
    recipe = training_recipe(config_of(whole))
    assert recipe.scale == "symmetric"
    assert "MobileNetV2 of keras.applications" in recipe.notes[0]
    images = import_keras().random.uniform((1, 32, 32, 3), 0, 255)
    prepared = applications.mobilenet_v2.preprocess_input(images)
    assert float(prepared.numpy().min()) < 0 <= float(prepared.numpy().max()) <= 1


def test_what_is_built_on_an_application_is_asked(tmp_path: Path) -> None:
    """A network with a head of one's own gets a note on the usual pixels, and no scale by itself."""
    k = import_keras()
    body = k.applications.MobileNet(weights=None, alpha=0.25, include_top=False, input_shape=(32, 32, 3))
    model = k.Sequential(
        [
            k.Input((32, 32, 3)),
            body,
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(tmp_path / "mine.keras")
    source = sources.load(tmp_path / "mine.keras")
    assert source.scale == ""
    assert [note for note in source.notes if "built on MobileNet" in note and "--scale symmetric" in note]


def test_a_name_alone_is_no_application() -> None:
    """A network that is only called like an application shows nothing."""
    k = import_keras()
    layers = [k.Input((8, 8, 3)), k.layers.Flatten(), k.layers.Dense(3, activation="softmax")]
    assert training_recipe(config_of(k.Sequential(layers, name="vgg16"))).notes == ()
