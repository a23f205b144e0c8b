"""`train --set init_from=FILE`: training from the weights of an exported file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.models import edge, runs
from edge_fm.training.edge import loop
from edge_fm.training.edge.warm_start import warm_start
from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import weights
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError, ModelError
from tests.conftest import RunCli

pytestmark = pytest.mark.train
NOWHERE = Path("no-folder")


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return garments("fashion-nano")


def garments(file: str) -> Dataset:
    """Return a part of the drawn garments at the size that a bundled model takes."""
    return datasets.limited(datasets.load("wardrobe", Classifier.load(file).passport.input), 1000, 200)


def network(name: str, dataset: Dataset) -> Any:
    """Return an untrained member of the family."""
    import_keras().utils.set_random_seed(1)
    return edge.build(edge.WIDTHS[name], dataset.spec, len(dataset.class_names), name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), [("edge", "fashion"), ("edge-nano", "fashion-nano")])
def test_a_network_answers_as_the_bundled_file(name: str, file: str) -> None:
    """A network with the weights of an int8 file agrees with it on nearly all labels."""
    dataset = garments(file)
    model, images = network(name, dataset), dataset.test.images
    warm_start(model, Path(file), NOWHERE, dataset.class_names, dataset.train.images[:300])
    answers = Classifier.load(file).probabilities(images).argmax(axis=1)
    scaled = images.astype(np.float32) / np.float32(255)
    assert np.mean(np.asarray(model(scaled)).argmax(axis=1) == answers) >= 0.95
    assert np.mean(np.asarray(model(scaled, training=True)).argmax(axis=1) == answers) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_float_file_gives_back_its_network(wardrobe: Dataset, tmp_path: Path, *, mirrored: bool) -> None:
    """A network restored from its float32 export has its probabilities, with flip averaging too."""
    first = network("edge-nano", wardrobe)
    warm_start(first, Path("fashion-nano"), NOWHERE, wardrobe.class_names, wardrobe.train.images[:300])
    first.save(tmp_path / "first.keras")
    file = tmp_path / "first.onnx"
    export(
        ExportRequest(
            source=tmp_path / "first.keras",
            output=file,
            labels=wardrobe.class_names,
            scale=UNIT,
            flip_ensemble=mirrored,
        ),
        None,
    )
    again = network("edge-nano", wardrobe)
    warm_start(again, file, NOWHERE, wardrobe.class_names, wardrobe.train.images[:300])
    scaled = wardrobe.test.images.astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(np.asarray(again(scaled)), np.asarray(first(scaled)), atol=1e-4)


@pytest.mark.slow
def test_what_is_no_such_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other classes, networks and weights, and a missing file, are refused with a remedy."""
    dataset = garments("fashion")
    model = network("edge", dataset)

    def begin(start: str) -> None:
        warm_start(model, Path(start), NOWHERE, dataset.class_names, dataset.train.images[:20])

    with pytest.raises(DataError, match="train edge on the same classes"):
        begin("digits")
    with pytest.raises(DataError, match="same member of the edge family"):
        begin("fashion-nano")
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        begin("missing.onnx")
    kept = weights.read_weights(read_model("fashion"))
    alike = [index for index, (kernel, _) in enumerate(kept) if kernel.shape == (3, 3, 32, 32)]
    kept[alike[0]], kept[alike[1]] = kept[alike[1]], kept[alike[0]]
    monkeypatch.setattr(weights, "read_weights", lambda _data: list(kept))
    with pytest.raises(DataError, match="same member of the edge family"):
        begin("fashion")


def test_a_folder_of_a_bundled_name_is_a_run(
    wardrobe: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder with the name of a bundled model is read as a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fashion").mkdir()
    with pytest.raises(DataError, match="fashion"):
        warm_start(
            network("edge", wardrobe), Path("fashion"), NOWHERE, wardrobe.class_names, wardrobe.train.images
        )


@pytest.mark.slow
def test_from_the_command_line(
    cli: RunCli, wardrobe: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init_from starts at the file's accuracy, records it, and refuses before writing."""
    few = datasets.limited(wardrobe, 200, 200)
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: few)
    out = tmp_path / "run"
    refused = cli(
        "train", "wardrobe", "--model", "edge", "--set", "init_from=fashion-nano", "--epochs", 1, "-o", out
    )
    assert refused.code == 2
    assert not out.exists()
    made = cli(
        "train",
        "wardrobe",
        "--model",
        "edge-nano",
        "--set",
        "init_from=fashion-nano",
        "--epochs",
        1,
        "-o",
        out,
    )
    assert made.is_written
    run = runs.Run.load(out)
    assert run.settings["init_from"] == "fashion-nano"
    truth = np.eye(10, dtype=bool)[wardrobe.test.labels]
    before = loop.accuracy(Classifier.load("fashion-nano").probabilities(wardrobe.test.images), truth)
    assert run.scores["test"]["accuracy"] > before - 0.1
