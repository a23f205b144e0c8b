"""Pictures for the tests of exports."""

import pytest

from edge_fm import datasets
from edge_fm.datasets import Dataset


@pytest.fixture(scope="session")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 1000, 300)
