"""Simulated camera augmentation."""

from collections.abc import Callable

import numpy as np
import pytest

from edge_fm.augmentation import backgrounds, transforms
from edge_fm.augmentation.transforms import Grey, Variation
from tests.edge_fm.pictures import picture


def test_every_view_is_a_letterboxed_image() -> None:
    """A view has the model's size, is random but reproducible, and has black bars if not square."""
    views = [
        transforms.photograph_view(picture(1), 28, Variation(), np.random.default_rng(n)) for n in range(200)
    ]
    assert all(view.shape == (28, 28) and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 200
    again = transforms.photograph_view(picture(1), 28, Variation(), np.random.default_rng(7))
    assert (again == views[7]).all()
    narrow = transforms.photograph_view(
        picture(1, 300, 100), 28, Variation(rotation=0), np.random.default_rng(0)
    )
    assert not narrow[:, 0].any()
    assert narrow[:, 14].any()


def test_flip_is_optional() -> None:
    """Without flip no image is flipped; with it, about half are."""
    left = np.zeros((28, 28), np.uint8)
    left[:, :10] = 200
    still = Variation(flip=False, erase=0, tilt=0)
    for seed in range(100):
        moved = transforms.product_view(left, still, np.random.default_rng(seed))
        assert moved[:, :14].sum() > moved[:, 14:].sum()
    flipped = [
        transforms.product_view(left, Variation(erase=0), np.random.default_rng(n)) for n in range(100)
    ]
    share = np.mean([view[:, 14:].sum() > view[:, :14].sum() for view in flipped])
    assert 0.3 < share < 0.7


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: backgrounds.scene(picture(1, 28, 28), Variation(), rng),
        lambda rng: backgrounds.empty_scene(28, rng),
        lambda rng: backgrounds.clutter(28, rng),
    ],
)
def test_backgrounds_are_images(draw: Callable[[np.random.Generator], Grey]) -> None:
    """Scenes, empty backgrounds and clutter are distinct uint8 images of the right size."""
    made = [draw(np.random.default_rng(n)) for n in range(50)]
    assert all(one.shape == (28, 28) and one.dtype == np.uint8 for one in made)
    assert len({one.tobytes() for one in made}) == 50
