"""Shrinking from the means of blocks, on images whose exact result is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Interpolation, Preprocess
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.resample import _ONE, Line, Resampling, _Span, _weights, shrink


@given(
    length=st.integers(16, 400),
    block=st.sampled_from([2, 4, 8]),
    start=st.integers(0, 8),
    size=st.integers(1, 8),
    is_reversed=st.booleans(),
)
def test_a_gradient_is_shrunk_exactly(
    length: int, block: int, start: int, size: int, is_reversed: bool
) -> None:
    """A linear gradient gives each area its exact mean, wherever blocks and areas end."""
    extent = length - start
    pixels = np.linspace(20, 220, length)
    edges = np.append(np.arange(0, length, block), length)
    if is_reversed:
        edges = length - edges[::-1]
    means = np.array([pixels[a:b].mean() for a, b in itertools.pairwise(edges)])
    made = shrink(
        np.repeat(np.rint(means).astype(np.uint8)[:, None], 3, axis=1),
        Line(length, block, is_reversed),
        Line(3, 1),
        Resampling((start, 0, extent, 3), (size, 3)),
    )
    ends = start + extent * np.arange(size + 1) / size
    slope = 200 / (length - 1)
    exact = 20 + slope * ((ends[:-1] + ends[1:]) / 2 - 0.5)
    # Tolerance: half a level per mean times its weight, half a level for the result, 0.01 for integer
    # weights.
    span = _Span(start, extent, size, Interpolation.AREA)
    weights = np.abs(_weights(Line(length, block, is_reversed), len(means), span)).sum(axis=1)
    assert (np.abs(made[:, 0] - exact) <= weights / _ONE / 2 + 0.5 + 0.01).all()


@pytest.mark.parametrize("block", [2, 4, 8])
def test_an_even_image_stays_even(block: int) -> None:
    """The weights of every area sum to exactly one, so an even image keeps its level."""
    for length in range(33, 300, 7):
        line, count = Line(length, block), -(-length // block)
        for level in (0, 1, 254, 255):
            made = shrink(
                np.full((count, count), level, np.uint8),
                line,
                line,
                Resampling((0, 0, length, length), (min(4, count),) * 2),
            )
            assert (made == level).all()


def test_the_order_of_the_sums_does_not_matter() -> None:
    """Every sum is exact, so a processor that adds in another order rounds to the same level."""
    rng = np.random.default_rng(0)
    means = rng.integers(0, 256, (67, 50), np.uint8)
    for interpolation in Interpolation:
        resampling = Resampling((0, 0, 533, 400), (28, 21), interpolation)
        made = shrink(means, Line(533, 8), Line(400, 8), resampling)
        mirrored = shrink(means[::-1, ::-1].copy(), Line(533, 8, True), Line(400, 8, True), resampling)
        np.testing.assert_array_equal(made[::-1, ::-1], mirrored)


@pytest.mark.parametrize("size", [(400, 533), (533, 400), (61, 47), (20, 31), (48, 48), (300, 99)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lanczos_resamples_as_pillow(size: tuple[int, int], channels: int) -> None:
    """Shrunk or enlarged, a centre crop by Lanczos' filter is that of Pillow's ImageOps.fit."""
    shape = (*size, 3) if channels > 1 else size
    image = np.random.default_rng(0).integers(96, 160, shape, np.uint8)
    settings = Preprocess(fit=Fit.CROP, interpolation=Interpolation.LANCZOS)
    made = preprocess.tensor_from_image(image, InputSpec(48, 48, channels), settings)
    expected = np.asarray(ImageOps.fit(Image.fromarray(image), (48, 48), Image.Resampling.LANCZOS))
    difference = np.abs(made.reshape(expected.shape).astype(int) - expected)
    assert difference.max() <= 2  # Pillow rounds between the two axes, and clips, which this range avoids
    assert difference.mean() < 0.4
