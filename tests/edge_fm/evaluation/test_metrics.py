"""Evaluation: figures by their definitions, intervals that hold, any kind of model."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import GARMENTS, Dataset
from edge_fm.evaluation.figures import worst_mistakes
from edge_fm.evaluation.metrics import Evaluation, Predictor, evaluate
from edge_fm.evaluation.predictors import open_predictor
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError, ExportError, ModelError
from tests.conftest import RunCli


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 50, 300)


def answering(shares: NDArray[np.float32], labels: tuple[str, ...] = GARMENTS) -> Predictor:
    """Return a predictor that gives these probabilities."""
    return Predictor("made up", labels, InputSpec(28, 28, 1), lambda _images: shares)


def guesses(dataset: Dataset, right: float) -> NDArray[np.float32]:
    """Return probabilities whose likeliest class is right for about this share of the test part."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(10), len(dataset.test)).astype(np.float32) * np.float32(0.5)
    chosen = np.where(rng.random(len(shares)) < right, dataset.test.labels, rng.integers(0, 10, len(shares)))
    shares[np.arange(len(shares)), chosen] += 0.5
    return shares


@pytest.fixture(scope="module")
def evaluation(wardrobe: Dataset) -> Evaluation:
    """Return the evaluation of guesses, seven of ten right."""
    return evaluate(answering(guesses(wardrobe, 0.7)), wardrobe)


@pytest.mark.train
def test_figures_are_those_of_scikit_learn(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """Accuracy, loss, precision, recall, F1 and the confusion matrix, of each class and averaged."""
    from sklearn import metrics

    true, said = wardrobe.test.labels, evaluation.answers
    precision, recall, f1, support = metrics.precision_recall_fscore_support(true, said)
    for index, score in enumerate(evaluation.classes):
        assert score.precision.value == pytest.approx(precision[index])
        assert score.recall.value == pytest.approx(recall[index])
        assert score.f1.value == pytest.approx(f1[index])
        assert score.images == support[index]
    assert evaluation.precision.value == pytest.approx(precision.mean())
    assert evaluation.accuracy.value == pytest.approx(metrics.accuracy_score(true, said))
    assert evaluation.loss.value == pytest.approx(metrics.log_loss(true, evaluation.probabilities), abs=1e-5)
    np.testing.assert_array_equal(evaluation.confusion, metrics.confusion_matrix(true, said))


def test_intervals_are_as_wide_as_chance_makes_them(evaluation: Evaluation) -> None:
    """Around the figure, within a tenth of 1.96 binomial standard errors on either side."""
    accuracy, count = evaluation.accuracy, len(evaluation.answers)
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / count)
    assert accuracy.value - accuracy.low == pytest.approx(half, rel=0.15)
    assert accuracy.high - accuracy.value == pytest.approx(half, rel=0.15)
    for figure in (*evaluation.averages.values(), *(score.f1 for score in evaluation.classes)):
        assert figure.low < figure.value < figure.high


def test_a_class_that_is_never_answered(wardrobe: Dataset) -> None:
    """Nothing predicted is a precision of 0, not a division by zero."""
    shares = np.zeros((len(wardrobe.test), 10), np.float32)
    shares[:, 3] = 1
    found = evaluate(answering(shares), wardrobe)
    assert found.classes[0].precision.value == 0
    assert found.classes[3].recall.value == 1
    assert np.isfinite(found.loss.value)


def test_the_surest_mistake_comes_first(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """All wrong pictures, no right one, sorted by how surely they were wrong."""
    worst = worst_mistakes(evaluation, wardrobe.test.labels)
    assert len(worst) == round((1 - evaluation.accuracy.value) * len(wardrobe.test))
    assert (evaluation.answers[worst] != wardrobe.test.labels[worst]).all()
    sureness = evaluation.probabilities[worst].max(axis=1)
    assert (np.diff(sureness) <= 0).all()


def test_other_labels_than_the_models(wardrobe: Dataset) -> None:
    """A data set with other classes is refused, and both are named."""
    with pytest.raises(DataError, match="the model answers a, b"):
        evaluate(answering(np.zeros((300, 2), np.float32), ("a", "b")), wardrobe)


def test_a_language_that_is_not_known(wardrobe: Dataset) -> None:
    """The languages that there are are named."""
    with pytest.raises(DataError, match="no labels in 'fr'"):
        evaluate(answering(guesses(wardrobe, 0.5)), wardrobe, "fr")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a Keras run and a scikit-learn run."""
    from edge_fm.models import zoo
    from edge_fm.models.settings import TrainSettings
    from edge_fm.training.train import TrainRequest, train

    folder = tmp_path_factory.mktemp("runs")
    small = datasets.limited(datasets.load("wardrobe"), 600, 100)
    for name, settings in (
        ("mlp-128", TrainSettings(epochs=3)),
        ("logreg", TrainSettings(epochs=1, patience=None, validation_share=0)),
    ):
        wanted = TrainRequest(
            architecture=zoo.find(name), dataset=small, data_name="wardrobe", settings=settings
        )
        train(wanted, folder / name, lambda *_: None)
    return folder


@pytest.mark.train
class TestAnyModel:
    """`edge-fm evaluate` measures Keras, scikit-learn and ONNX alike."""

    @pytest.mark.parametrize(
        "name",
        [
            "mlp-128",
            "mlp-128/model.keras",
            "logreg",
            "logreg/model.skops",
            "mlp.h5",
            "mlp.onnx",
            "logreg.onnx",
        ],
    )
    def test_every_kind(self, cli: RunCli, runs: Path, name: str) -> None:
        """A run folder, its file, an .h5 with its pixels found out, and what was exported, give the same accuracy."""
        if name == "mlp.h5":
            from edge_fm.training.keras_fit import load_uncompiled

            load_uncompiled(runs / "mlp-128" / "model.keras").save(runs / "mlp.h5")
        if name.endswith(".onnx"):
            source = {"mlp.onnx": "mlp-128", "logreg.onnx": "logreg"}[name]
            assert cli("export", runs / source, "-o", runs / name).code == 0
        done = cli("evaluate", runs / name, "--data", "wardrobe", "--json")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        reference = evaluate(
            *open_predictor(str(runs / ("logreg" if "logreg" in name else "mlp-128")), "wardrobe")
        )
        assert found["images"] == 1000
        assert found["accuracy"]["value"] == pytest.approx(reference.accuracy.value, abs=1e-9)
        assert found["loss"]["value"] == pytest.approx(reference.loss.value, abs=1e-4)

    def test_korean(self, cli: RunCli, runs: Path) -> None:
        """The table names the classes in the language that is asked for."""
        done = cli("evaluate", runs / "logreg", "--data", "wardrobe", "--lang", "ko")
        assert done.code == 0, done.err
        assert "앵클 부츠" in done.out
        assert "Ankle boot" not in done.out

    def test_pixels_that_no_scale_explains(self, cli: RunCli, runs: Path, tmp_path: Path) -> None:
        """A network that is right by chance whatever its pixels were is refused, with the scores of each."""
        from edge_fm_exporters.framework import import_keras

        keras = import_keras()
        keras.utils.set_random_seed(0)
        network = keras.Sequential(
            [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
        )
        network.save(tmp_path / "untrained.keras")
        with pytest.raises(ExportError, match=r"no more often than by chance.*unit.*raw"):
            open_predictor(str(tmp_path / "untrained.keras"), "wardrobe")

    def test_pictures_of_another_size(self, tmp_path: Path) -> None:
        """A network for other pictures than the data set's is refused."""
        from edge_fm_exporters.framework import import_keras

        keras = import_keras()
        network = keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
        )
        network.save(tmp_path / "small.keras")
        with pytest.raises(DataError, match=r"\(28, 28, 1\), the model takes \(8, 8, 1\)"):
            open_predictor(str(tmp_path / "small.keras"), "wardrobe")


def test_no_such_model() -> None:
    """A name that is nothing is a sentence."""
    with pytest.raises(ModelError):
        open_predictor("no-such-model", "wardrobe")
