"""Networks that begin with the weights of an earlier one of another shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm import datasets, edge, growth, runs
from edge_fm.beginning import begin_with
from edge_fm.runs import Run
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError

pytestmark = pytest.mark.train

DATA = datasets.load("wardrobe")
IMAGES = DATA.test.images[:64].astype(np.float32) / np.float32(255)


def network(width: edge.Width, seed: int) -> Any:
    """Return a network whose every weight is drawn, normalisation's as well, so that none is what it would be untouched."""
    import_keras().utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = edge.build(width, DATA.spec, 10, "edge-nano")
    for layer in model.layers:
        if isinstance(layer, import_keras().layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def answers(model: Any) -> np.ndarray:
    """Return what it says of the pictures."""
    return np.asarray(model(IMAGES))


@pytest.mark.parametrize(
    "larger",
    [
        edge.Width(4, 6, 8, full_blocks=1),
        edge.Width(4, 6, 8, full_blocks=2, middle_blocks=2, top_blocks=3),
        edge.Width(4, 6, 8),
    ],
)
def test_new_blocks_say_nothing_yet(larger: edge.Width) -> None:
    """With more blocks at any size, or none more, the network answers as the earlier one does, and as itself before it did not."""
    old, new = network(edge.Width(4, 6, 8), 1), network(larger, 2)
    assert not np.allclose(answers(new), answers(old), atol=1e-3)
    assert growth.grow(old, new)
    np.testing.assert_allclose(answers(new), answers(old), atol=1e-5)


def test_the_channels_that_tell_least_are_left_out() -> None:
    """Of eight channels inside a block, two add nothing to what it ends with: a block of six inside answers the same without them."""
    old, new = network(edge.Width(4, 6, 8), 1), network(edge.Width(4, 6, 8, top_inner=6), 2)
    (second,) = (layer for layer in old.layers if layer.weights and layer.weights[0].shape == (3, 3, 8, 8))
    kernel = second.get_weights()[0]
    kernel[:, :, [1, 5]] = 0
    second.set_weights([kernel])
    assert growth.grow(old, new)
    np.testing.assert_allclose(answers(new), answers(old), atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        edge.Width(4, 6, 10),
        edge.Width(4, 8, 8),
        edge.Width(6, 6, 8),
        edge.Width(4, 6, 8, top_inner=10),
    ],
)
def test_what_does_not_fit_is_refused(other: edge.Width, tmp_path: Path) -> None:
    """A run of a network that is wider or narrower between its blocks, or narrower inside one, cannot be begun with."""
    old, new = network(edge.Width(4, 6, 8), 1), network(other, 2)
    with pytest.raises(DataError, match="an earlier network"):
        begin_with(new, kept(old, tmp_path), Path("no-folder"), DATA.class_names, DATA.train.images)


def test_a_run_of_a_smaller_network_is_begun_with(tmp_path: Path) -> None:
    """A training of today's network takes a run folder of the one before it."""
    old, new = network(edge.Width(4, 6, 8), 1), network(edge.Width(4, 6, 8, full_blocks=1), 2)
    begin_with(new, kept(old, tmp_path), Path("no-folder"), DATA.class_names, DATA.train.images)
    np.testing.assert_allclose(answers(new), answers(old), atol=1e-5)


def kept(model: Any, folder: Path) -> Path:
    """Return a run folder that holds a model."""
    model.save(folder / runs.MODEL)
    Run(
        architecture=model.name,
        data="wardrobe",
        class_names=DATA.class_names,
        scale="unit",
        model=runs.MODEL,
        options={},
        settings={},
        epochs=1,
        best_epoch=1,
        scores={},
        seconds=1.0,
        interrupted=False,
        licence=DATA.licence,
        tools={},
        created="2026-01-01",
        input_shape=DATA.spec.shape,
    ).save(folder)
    return folder
