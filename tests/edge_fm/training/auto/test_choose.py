"""`edge-fm train DIR -o RUN`: a model is chosen and trained."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm.datasets import wardrobe
from edge_fm.models import runs
from edge_fm.models.runs import Run
from edge_fm.training.auto import candidates, choose
from edge_fm.training.auto.candidates import ModelCandidate
from edge_fm.training.transfer import head
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli

GARMENTS = {"bags": 8, "boots": 9, "trousers": 1}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of drawn garments in colours of their own, twelve of each class."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    for name, garment in GARMENTS.items():
        (folder / name).mkdir(parents=True)
        for number in range(12):
            rng = np.random.default_rng(100 * garment + number)
            grey = wardrobe.draw(garment, rng, 96)
            drawing = np.asarray(grey[..., np.newaxis] * rng.uniform(0.4, 1, 3), np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), drawing)
    return folder


@pytest.fixture(autouse=True)
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep features in the folder of the test; fit decode margins and unknowns on few images."""
    from edge_fm.training.transfer import train
    from edge_fm_exporters.decision import reduced_decoding

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(reduced_decoding, "_MOST", 16)
    monkeypatch.setattr(reduced_decoding, "_DRAWN", 2**20)
    monkeypatch.setattr(train, "_UNKNOWN", 40)


def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine look like a device, without TensorFlow and without the larger backbone."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else found(name)
    )
    small = tuple(one for one in candidates.CANDIDATES if one.model != candidates.WHOLE)
    monkeypatch.setattr(choose, "CANDIDATES", small)


def test_a_folder_alone_is_enough(
    cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TensorFlow the bundled backbone is taken; the table says why the others were not tried."""
    without_tensorflow(monkeypatch)
    done = cli("train", pictures, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    assert "taken: transfer-small, 128x128 colour" in done.out
    assert "needs TensorFlow: sh setup.sh train" in done.out
    assert "cross-validation" in done.out
    run = Run.load(tmp_path / "run")
    assert run.architecture == "transfer-small"
    assert (tmp_path / "run" / candidates.RECORD).read_text().count("\n") == 4


def test_a_large_folder_is_tried_on_a_sample(
    cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidates see at most so many training pictures; the model that is taken is trained on all."""
    without_tensorflow(monkeypatch)
    monkeypatch.setattr(choose, "_MOST", 20)
    seen: list[int] = []
    fit = head.cross_validated

    def counted(features: Any, labels: Any, groups: Any, **options: Any) -> head.OutOfFold:
        seen.append(len(labels))
        return fit(features, labels, groups, **options)

    monkeypatch.setattr(head, "cross_validated", counted)
    assert cli("train", pictures, "-o", tmp_path / "run").is_written
    assert seen[0] == 20
    assert seen[1] > 20


def test_a_budget_that_nothing_meets(
    cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no candidate is small enough, the error names each with its reason, and nothing is written."""
    without_tensorflow(monkeypatch)
    done = cli("train", pictures, "--max-kb", 100, "-o", tmp_path / "run")
    assert done.code == 2
    assert "over --max-kb 100" in done.err
    assert "raise --max-kb" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 3), "--model auto takes no --epochs"),
        (("--size", 64), "--model auto takes no --size"),
        (("--model", "cnn", "--max-kb", 10), "takes no --max-kb"),
    ],
)
def test_options_of_other_models(
    cli: RunCli, pictures: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    """Settings that auto decides cannot be given, and its budget is for nothing else."""
    done = cli("train", pictures, *arguments, "-o", tmp_path / "run")
    assert done.code == 2
    assert message in done.err


def test_auto_is_for_folders(cli: RunCli, tmp_path: Path) -> None:
    """A data set without pictures of its own has no choice of size and colour."""
    done = cli("train", "wardrobe", "--model", "auto", "-o", tmp_path / "run")
    assert done.code == 2
    assert "--model auto is for a folder of pictures" in done.err


@pytest.mark.train
@pytest.mark.slow
def test_a_network_is_tried_on_folds_and_trained(
    cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of the edge family that is taken has its folds in the record, and exports unchanged."""
    from edge_fm.models import edge
    from edge_fm.training import schedule

    monkeypatch.setitem(edge.WIDTHS, "edge", edge.Width(4, 4, 4, middle_blocks=1))
    monkeypatch.setattr(choose, "FOLDS", 2)
    monkeypatch.setattr(schedule, "MIN_STEPS", 20)
    monkeypatch.setattr(schedule, "MIN_EPOCH_STEPS", 20)
    monkeypatch.setattr(choose, "CANDIDATES", (ModelCandidate("edge", 28, 3),))
    done = cli("train", pictures, "-o", tmp_path / "run")
    assert done.is_written, done.err
    assert "taken: edge, " in done.out
    record = json.loads((tmp_path / "run" / runs.RECORD).read_text())
    assert record["architecture"] == "edge"
    assert set(record["scores"]["folds"]) == {"accuracy", "accuracy_1", "accuracy_2"}
    exported = cli("export", tmp_path / "run", "-o", tmp_path / "mine.onnx")
    assert exported.is_written, exported.err
    assert (tmp_path / "mine.onnx").exists()
