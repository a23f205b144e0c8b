"""Training: the run folder, honest splits, and Ctrl-C."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm import datasets, runs, zoo
from edge_fm.datasets import Dataset
from edge_fm.runs import Run
from edge_fm.training import Epoch, Settings, load_uncompiled, train
from edge_fm_runtime.errors import DataError, OutputError

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 600, 200)


def silent(_epoch: int, _share: float, _done: Epoch | None) -> None:
    """Listen to nothing."""


@pytest.fixture(scope="module")
def trained(wardrobe: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Return a run of three epochs."""
    folder = tmp_path_factory.mktemp("run") / "deep" / "cnn"
    return folder, train(zoo.find("cnn"), wardrobe, "wardrobe", folder, Settings(epochs=3), silent)


def test_the_run_folder_is_complete(trained: tuple[Path, Run], wardrobe: Dataset) -> None:
    """Model, record, history and curves are there, and the record is what was measured."""
    folder, run = trained
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.png",
        "history.csv",
        "model.keras",
        "run.json",
    ]
    assert Run.load(folder) == run
    assert run.class_names == wardrobe.class_names
    with (folder / runs.HISTORY).open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == run.epochs == 3
    best = min(history, key=lambda row: float(row["validation_loss"]))
    assert int(best["epoch"]) == run.best_epoch


def test_the_kept_weights_are_the_best_and_uncompiled(trained: tuple[Path, Run], wardrobe: Dataset) -> None:
    """The saved model scores what the record says, and carries no optimiser."""
    folder, run = trained
    model = load_uncompiled(folder / runs.MODEL)
    answers = model.predict(wardrobe.test.images.astype(np.float32) / 255, batch_size=500, verbose=0).argmax(
        axis=1
    )
    assert float((answers == wardrobe.test.labels).mean()) == run.test_accuracy
    assert run.test_accuracy > 0.5
    assert (folder / runs.MODEL).stat().st_size < 1.5e6


def test_the_same_seed_gives_the_same_model(
    trained: tuple[Path, Run], wardrobe: Dataset, tmp_path: Path
) -> None:
    """A run can be repeated, but for the order in which threads add."""
    again = train(zoo.find("cnn"), wardrobe, "wardrobe", tmp_path, Settings(epochs=3), silent)
    assert again.validation_accuracy == pytest.approx(trained[1].validation_accuracy, abs=0.02)
    assert again.test_accuracy == pytest.approx(trained[1].test_accuracy, abs=0.02)


def test_ctrl_c_keeps_the_best_so_far(wardrobe: Dataset, tmp_path: Path) -> None:
    """Interrupted in the second epoch, the first one's weights are a whole run."""

    def interrupt(epoch: int, share: float, _done: Epoch | None) -> None:
        if epoch == 2 and share > 0.3:
            raise KeyboardInterrupt

    run = train(zoo.find("cnn"), wardrobe, "wardrobe", tmp_path, Settings(epochs=5), interrupt)
    assert (run.interrupted, run.best_epoch) == (True, 1)
    assert Run.load(tmp_path).test_accuracy == run.test_accuracy


def test_ctrl_c_before_anything_is_kept(wardrobe: Dataset, tmp_path: Path) -> None:
    """Interrupted in the first epoch, there is no run, and that is said."""

    def interrupt(_epoch: int, _share: float, _done: Epoch | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(DataError, match="nothing was kept"):
        train(zoo.find("cnn"), wardrobe, "wardrobe", tmp_path, Settings(), interrupt)
    with pytest.raises(DataError, match="no run folder"):
        Run.load(tmp_path)


def test_early_stopping_never_sees_the_test_part(
    wardrobe: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `fit` is given as validation comes from the training part only."""
    from edge_fm_exporters.framework import import_keras

    seen: list[Any] = []
    keras = import_keras()
    fit = keras.Sequential.fit

    def watch(self: Any, x: Any, y: Any, **options: Any) -> Any:
        seen.extend([x, options["validation_data"][0]])
        return fit(self, x, y, **options)

    monkeypatch.setattr(keras.Sequential, "fit", watch)
    train(zoo.find("cnn"), wardrobe, "wardrobe", tmp_path, Settings(epochs=1), silent)
    test = {np.rint(image * 1.0).astype(np.uint8).tobytes() for image in wardrobe.test.images}
    for images in seen:
        assert test.isdisjoint(np.rint(image * 255).astype(np.uint8).tobytes() for image in images)
    assert sum(map(len, seen)) == len(wardrobe.train)


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_architectures_are_what_they_say(name: str) -> None:
    """Each has the stated number of parameters for its data set, pixels in, probabilities out."""
    from edge_fm_runtime.passport import InputSpec

    architecture = zoo.find(name)
    model = architecture.build(InputSpec(28, 28, 1), 10)
    assert model.count_params() == architecture.parameters
    answer = np.asarray(model(np.zeros((2, 28, 28, 1), np.float32)))
    np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-5)


def test_an_unknown_architecture_names_the_nearest() -> None:
    """A typing error is answered with a suggestion."""
    with pytest.raises(DataError, match="did you mean cnn"):
        zoo.find("cnnn")


def test_a_folder_that_cannot_be_written(wardrobe: Dataset, tmp_path: Path) -> None:
    """A file where the run folder should be is a sentence."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="another folder"):
        train(zoo.find("cnn"), wardrobe, "wardrobe", tmp_path / "file", Settings(), silent)


@pytest.mark.parametrize("text", ["{", "[]", '{"architecture": "cnn"}'])
def test_a_broken_record(tmp_path: Path, text: str) -> None:
    """A damaged run.json is named."""
    (tmp_path / runs.RECORD).write_text(text)
    with pytest.raises(DataError, match=r"run\.json is broken"):
        Run.load(tmp_path)
