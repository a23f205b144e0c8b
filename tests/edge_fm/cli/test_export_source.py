"""The images that an export takes from a run folder."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.cli.export_source import load_export_data
from edge_fm.models.runs import Run


@pytest.mark.parametrize("name", ["ood_calibration.npz", "lesson.npz"])
def test_images_of_no_class_are_found(tmp_path: Path, name: str) -> None:
    """Images for the known-class score are read, also under the name of older run folders."""
    dataset = datasets.load("wardrobe")
    Run(
        architecture="cnn",
        data=dataset.name,
        class_names=dataset.class_names,
        scale="unit",
        model="model.keras",
        options={},
        settings={},
        epochs=1,
        best_epoch=1,
        scores={},
        seconds=1.0,
        interrupted=False,
        licence=dataset.licence,
        tools={},
        created="2026-01-01",
    ).save(tmp_path)
    images = np.full((3, 28, 28, 1), 7, np.uint8)
    np.savez(tmp_path / name, images=images, allowed=np.zeros((3, 10), bool))
    found = load_export_data(dataset, None, tmp_path).ood_calibration
    assert found is not None
    assert np.array_equal(found.images, images)
