"""Training: the run folder, honest splits, and Ctrl-C."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.evaluation.predictors import open_predictor
from edge_fm.models import runs, zoo
from edge_fm.models.runs import Run
from edge_fm.models.settings import TrainSettings
from edge_fm.training.keras_fit import load_uncompiled
from edge_fm.training.results import Figures, class_weights
from edge_fm.training.train import TrainRequest, train
from edge_fm_runtime.errors import DataError, OutputError

pytestmark = pytest.mark.train


def request(name: str, dataset: Dataset, settings: TrainSettings) -> TrainRequest:
    """Return what to train."""
    return TrainRequest(architecture=zoo.find(name), dataset=dataset, data_name="wardrobe", settings=settings)


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 600, 200)


def silent(_epoch: int, _share: float, _figures: Figures | None) -> None:
    """Listen to nothing."""


@pytest.fixture(scope="module")
def trained(wardrobe: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Return a run of three epochs."""
    folder = tmp_path_factory.mktemp("run") / "deep" / "cnn"
    return folder, train(request("cnn", wardrobe, TrainSettings(epochs=3)), folder, silent)


@pytest.mark.slow
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
    assert run.options == {"dropout": 0.4}
    assert run.settings["epochs"] == 3
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
    assert float((answers == wardrobe.test.labels).mean()) == pytest.approx(run.test_accuracy)
    assert run.test_accuracy > 0.5
    assert (folder / runs.MODEL).stat().st_size < 1.5e6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(
    trained: tuple[Path, Run], wardrobe: Dataset, tmp_path: Path
) -> None:
    """A run can be repeated, but for the order in which threads add."""
    again = train(request("cnn", wardrobe, TrainSettings(epochs=3)), tmp_path, silent)
    first, second = (run.scores["validation"]["accuracy"] for run in (trained[1], again))
    assert second == pytest.approx(first, abs=0.02)
    assert again.test_accuracy == pytest.approx(trained[1].test_accuracy, abs=0.02)


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(wardrobe: Dataset, tmp_path: Path) -> None:
    """Interrupted in the second epoch, the first one's weights are a whole run."""

    def interrupt(epoch: int, share: float, _figures: Figures | None) -> None:
        if epoch == 2 and share > 0.3:
            raise KeyboardInterrupt

    run = train(request("cnn", wardrobe, TrainSettings(epochs=5)), tmp_path, interrupt)
    assert (run.interrupted, run.best_epoch) == (True, 1)
    assert Run.load(tmp_path).test_accuracy == run.test_accuracy


@pytest.mark.slow
def test_ctrl_c_before_anything_is_kept(wardrobe: Dataset, tmp_path: Path) -> None:
    """Interrupted in the first epoch, there is no run, and that is said."""

    def interrupt(_epoch: int, _share: float, _figures: Figures | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(DataError, match="nothing was kept"):
        train(request("cnn", wardrobe, TrainSettings()), tmp_path, interrupt)
    with pytest.raises(DataError, match="not a run folder"):
        Run.load(tmp_path)


@pytest.mark.slow
def test_early_stopping_never_sees_the_test_part(
    wardrobe: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early stopping validates on images of the training part only."""
    from edge_fm_exporters.framework import import_keras

    seen: list[Any] = []
    keras = import_keras()
    fit = keras.Sequential.fit

    def watch(self: Any, x: Any, y: Any, **options: Any) -> Any:
        seen.extend([x, options["validation_data"][0]])
        return fit(self, x, y, **options)

    monkeypatch.setattr(keras.Sequential, "fit", watch)
    train(request("cnn", wardrobe, TrainSettings(epochs=1)), tmp_path, silent)
    test = {np.rint(image * 1.0).astype(np.uint8).tobytes() for image in wardrobe.test.images}
    for images in seen:
        assert test.isdisjoint(np.rint(image * 255).astype(np.uint8).tobytes() for image in images)
    assert sum(map(len, seen)) == len(wardrobe.train)


def test_without_patience_the_last_epoch_is_kept(wardrobe: Dataset, tmp_path: Path) -> None:
    """All epochs are run, and a training on everything has no validation to choose on."""
    settings = TrainSettings(epochs=2, patience=None, validation_share=0)
    run = train(request("mlp-128", wardrobe, settings), tmp_path, silent)
    assert (run.epochs, run.best_epoch, sorted(run.scores)) == (2, 2, ["test"])


def test_patience_needs_something_to_watch(wardrobe: Dataset, tmp_path: Path) -> None:
    """Early stopping without validation pictures is refused, not turned off."""
    with pytest.raises(DataError, match="validation is 0"):
        train(request("mlp-128", wardrobe, TrainSettings(validation_share=0)), tmp_path, silent)


@pytest.mark.slow
def test_precision_and_recall_are_those_of_sure_answers(wardrobe: Dataset, tmp_path: Path) -> None:
    """Precision and recall are measured on the test part by their definition."""
    settings = TrainSettings(epochs=2, patience=None)
    run = train(request("mnist-mlp", wardrobe, settings), tmp_path, silent)
    model = load_uncompiled(tmp_path / runs.MODEL)
    sure = model.predict(wardrobe.test.images.astype(np.float32) / 255, verbose=0) > 0.5
    right = sure[np.arange(len(sure)), wardrobe.test.labels].sum()
    assert run.scores["test"]["precision"] == pytest.approx(right / sure.sum(), abs=1e-4)
    assert run.scores["test"]["recall"] == pytest.approx(right / len(sure), abs=1e-4)


def test_folds_are_scored_on_pictures_that_they_did_not_see(wardrobe: Dataset, tmp_path: Path) -> None:
    """Each fold has its score and the mean is that of them; the test part is none of them."""
    run = train(request("sgd-cv", wardrobe, TrainSettings(folds=3, validation_share=0)), tmp_path, silent)
    folds = run.scores["folds"]
    assert folds["accuracy"] == pytest.approx(np.mean([folds[f"accuracy_{n}"] for n in (1, 2, 3)]))
    seen = [part for _, part in wardrobe.folds(3, seed=0)]
    assert sum(map(len, seen)) == len(wardrobe.train)
    assert len({image.tobytes() for part in seen for image in part.images}) == len(
        {image.tobytes() for image in wardrobe.train.images}
    )


def test_too_few_pictures_for_the_folds(wardrobe: Dataset) -> None:
    """A class with fewer pictures than folds is named."""
    with pytest.raises(DataError, match=r"too few for 500 folds"):
        next(wardrobe.folds(500, seed=0))


def test_rare_classes_weigh_more(wardrobe: Dataset) -> None:
    """A class with a tenth of the pictures weighs ten times as much; even classes weigh nothing special."""
    assert class_weights(np.repeat([0, 1], [100, 10])) == pytest.approx({0: 0.55, 1: 5.5})
    assert class_weights(np.repeat([0, 1], [100, 99])) is None


@pytest.mark.slow
def test_weights_help_the_rare_class(wardrobe: Dataset, tmp_path: Path) -> None:
    """With one class cut to a tenth, balancing finds more of it."""
    keep = np.flatnonzero((wardrobe.train.labels != 6) | (np.arange(len(wardrobe.train)) % 20 == 0))
    lopsided = replace(wardrobe, train=wardrobe.train.take(keep))
    recalls = []
    for balance in (False, True):
        folder = tmp_path / str(balance)
        settings = TrainSettings(epochs=3, patience=None, validation_share=0, balance=balance)
        train(request("logreg", lopsided, settings), folder, silent)
        predictor, _ = open_predictor(str(folder), "wardrobe")
        answers = predictor.probabilities(wardrobe.test.images).argmax(axis=1)
        recalls.append(float((answers[wardrobe.test.labels == 6] == 6).mean()))
    assert recalls[1] > recalls[0]


def test_passes_keep_their_scores(wardrobe: Dataset, tmp_path: Path) -> None:
    """Stochastic gradient descent pass by pass has training and test scores of each pass."""
    run = train(
        request("sgd", wardrobe, TrainSettings(4, patience=None, validation_share=0)), tmp_path, silent
    )
    history = runs.read_history(tmp_path / runs.HISTORY)
    assert len(history) == 4
    assert history[-1]["test_accuracy"] == pytest.approx(run.test_accuracy, abs=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curves.png",
        "history.csv",
        "model.skops",
        "run.json",
    ]


def test_ctrl_c_between_passes(wardrobe: Dataset, tmp_path: Path) -> None:
    """Interrupted after the second pass, two are kept; before the first is done, nothing is."""

    def interrupt(number: int, _share: float, _figures: Figures | None) -> None:
        if number == 2:
            raise KeyboardInterrupt

    run = train(request("sgd", wardrobe, TrainSettings(9, patience=None)), tmp_path, interrupt)
    assert (run.interrupted, run.epochs) == (True, 2)


def test_a_broken_history(tmp_path: Path) -> None:
    """A damaged history.csv is named; a missing one is none."""
    assert runs.read_history(tmp_path / runs.HISTORY) == []
    (tmp_path / runs.HISTORY).write_text("epoch,loss\n1,low\n")
    with pytest.raises(DataError, match=r"history\.csv is broken"):
        runs.read_history(tmp_path / runs.HISTORY)


def test_a_folder_that_cannot_be_written(wardrobe: Dataset, tmp_path: Path) -> None:
    """A file where the run folder should be is a sentence."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="another folder"):
        train(request("cnn", wardrobe, TrainSettings()), tmp_path / "file", silent)


@pytest.mark.parametrize("text", ["{", "[]", '{"architecture": "cnn"}'])
def test_a_broken_record(tmp_path: Path, text: str) -> None:
    """A damaged run.json is named."""
    (tmp_path / runs.RECORD).write_text(text)
    with pytest.raises(DataError, match=r"run\.json is broken"):
        Run.load(tmp_path)
