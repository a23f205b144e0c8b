"""Networks that are their own mirror image."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import edge, recipe, recipe_loop, recipe_settings, runs, symmetry
from edge_fm.beginning import begin_with
from edge_fm.edge import Width
from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.scale import UNIT
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.inputs import InputSpec
from tests.edge_fm.pictures import small

pytestmark = pytest.mark.train

TWO_SIDED = Width(3, 4, 5, full_blocks=1, symmetric=True)
USUAL = InputSpec(28, 28, 1)


def pictures(spec: InputSpec) -> NDArray[np.float32]:
    """Return noise."""
    return np.random.default_rng(0).random((12, *spec.shape), np.float32)


def network(width: Width = TWO_SIDED, spec: InputSpec = USUAL) -> Any:
    """Return one of which no weight is as it was made."""
    import_keras().utils.set_random_seed(0)
    model, rng = edge.build(width, spec, 4, "x"), np.random.default_rng(1)
    model.set_weights([weight + rng.normal(0, 0.05, weight.shape) for weight in model.get_weights()])
    return model


def answers(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities."""
    return np.asarray(model.predict(images, verbose=0))


@pytest.mark.parametrize("spec", [USUAL, InputSpec(30, 27, 3), InputSpec(56, 56, 1), InputSpec(64, 62, 1)])
def test_a_picture_and_its_mirror_image_are_answered_alike(spec: InputSpec) -> None:
    """Whatever the size, no probability moves when the picture is mirrored; turned upside down it does."""
    model, images = network(spec=spec), pictures(spec)
    found = answers(model, images)
    assert np.abs(answers(model, images[:, :, ::-1]) - found).max() < 1e-5
    assert np.abs(answers(model, images[:, ::-1]) - found).max() > 1e-4


def test_training_leaves_it_so() -> None:
    """After steps on pictures that face one way only they are answered alike, which a network without two sides does not."""
    images, right = pictures(USUAL), np.eye(4, dtype=np.float32)[np.arange(12) % 4]
    moved = []
    for width in (TWO_SIDED, replace(TWO_SIDED, symmetric=False)):
        model = edge.build(width, USUAL, 4, "x")
        before = answers(model, images)
        model.compile(import_keras().optimizers.SGD(0.05), "categorical_crossentropy")
        model.fit(images, right, epochs=3, verbose=0)
        assert np.abs(answers(model, images) - before).max() > 1e-2
        moved.append(np.abs(answers(model, images[:, :, ::-1]) - answers(model, images)).max())
    assert moved[0] < 1e-5
    assert moved[1] > 1e-3


def test_written_out_it_is_a_network_of_keras_own_layers(tmp_path: Path) -> None:
    """Saved and opened by Keras alone it gives the same probabilities, with kernels that are themselves read backwards and twice the numbers."""
    keras = import_keras()
    model, images = network(), pictures(USUAL)
    edge.written_out(model, TWO_SIDED).save(tmp_path / "whole.keras")
    whole = keras.saving.load_model(tmp_path / "whole.keras", compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in whole.layers)
    np.testing.assert_allclose(answers(whole, images), answers(model, images), atol=1e-6)
    kernels = [np.asarray(weight) for weight in whole.weights if len(weight.shape) == 4]
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, kernel[:, ::-1, ::-1, :: -1 if kernel.shape[3] > 1 else 1])
    assert sum(kernel.size for kernel in kernels) == 2 * sum(
        np.prod(weight.shape) for weight in model.trainable_weights if len(weight.shape) == 4
    )
    assert edge.written_out(whole, Width(6, 8, 10, full_blocks=1)) is whole


def test_the_first_side_comes_back() -> None:
    """A network that is given what another has written out is that one, and one that is not its own mirror image is refused."""
    model = network()
    whole, again = edge.written_out(model, TWO_SIDED), edge.build(TWO_SIDED, USUAL, 4, "x")
    symmetry.fold(whole, again)
    for mine, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    kernel = whole.layers[1].get_weights()[0]
    kernel[0, 0] += 1
    whole.layers[1].set_weights([kernel])
    with pytest.raises(ValueError, match="mirror image"):
        symmetry.fold(whole, again)


def test_columns_that_no_step_divides_evenly_are_refused() -> None:
    """Of 57 columns every second one from the left is none from the right; the message gives a size that goes."""
    with pytest.raises(DataError, match="--size 58"):
        edge.build(TWO_SIDED, InputSpec(57, 57, 1), 4, "x")
    with pytest.raises(DataError, match="57 columns"):
        edge.build(TWO_SIDED, InputSpec(80, 57, 1), 4, "x")
    edge.build(TWO_SIDED, InputSpec(58, 58, 1), 4, "x")


@pytest.mark.slow
def test_from_a_training_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a training leaves behind is opened by Keras alone and exported; the next begins with it, or with the file, and answers the same."""
    name, part = "edge-nano-symmetric", small()
    monkeypatch.setitem(edge.WIDTHS, name, TWO_SIDED)
    settings = recipe_settings.Settings(epochs=2, batch_size=16, averaging=0.9)
    first, images = tmp_path / "first", part.test.images
    recipe.train_run(name, recipe.Sources(part, None), "wardrobe", first, settings, lambda *_: None)
    file = tmp_path / "first.onnx"
    export(ExportRequest(first / runs.MODEL, file, part.class_names, UNIT), None)
    right = Classifier.load(file).probabilities(images)
    for start in (first, file):
        model = edge.build(TWO_SIDED, part.spec, 10, name)
        begin_with(model, start, tmp_path / "next", part.class_names, part.train.images)
        np.testing.assert_allclose(recipe_loop.probabilities(model, images), right, atol=1e-4)
    one_sided = Width(6, 8, 10, full_blocks=1)
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", one_sided)
    model = edge.build(one_sided, part.spec, 10, "edge-nano")
    with pytest.raises(DataError, match="is a run of edge-nano-symmetric"):
        begin_with(model, first, tmp_path / "next", part.class_names, part.train.images)
