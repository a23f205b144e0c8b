"""Evaluation: scores by definition, valid intervals, every model format."""

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
    """Return a part of the wardrobe."""
    return datasets.limited(datasets.load("wardrobe"), 50, 300)


def answering(shares: NDArray[np.float32], labels: tuple[str, ...] = GARMENTS) -> Predictor:
    """Return a predictor that always returns these probabilities."""
    return Predictor("made up", labels, InputSpec(28, 28, 1), lambda _images: shares)


def guesses(dataset: Dataset, right: float) -> NDArray[np.float32]:
    """Return probabilities with about this accuracy on the test part."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(10), len(dataset.test)).astype(np.float32) * np.float32(0.5)
    chosen = np.where(rng.random(len(shares)) < right, dataset.test.labels, rng.integers(0, 10, len(shares)))
    shares[np.arange(len(shares)), chosen] += 0.5
    return shares


@pytest.fixture(scope="module")
def evaluation(wardrobe: Dataset) -> Evaluation:
    """Return the evaluation of random predictions with 70 % accuracy."""
    return evaluate(answering(guesses(wardrobe, 0.7)), wardrobe)


@pytest.mark.train
def test_scores_equal_those_of_scikit_learn(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """Accuracy, loss, precision, recall, F1 and confusion matrix are equal, per class and averaged."""
    from sklearn import metrics

    true, predicted = wardrobe.test.labels, evaluation.predicted
    precision, recall, f1, support = metrics.precision_recall_fscore_support(true, predicted)
    for index, score in enumerate(evaluation.classes):
        assert score.precision.value == pytest.approx(precision[index])
        assert score.recall.value == pytest.approx(recall[index])
        assert score.f1.value == pytest.approx(f1[index])
        assert score.images == support[index]
    assert evaluation.precision.value == pytest.approx(precision.mean())
    assert evaluation.accuracy.value == pytest.approx(metrics.accuracy_score(true, predicted))
    assert evaluation.loss.value == pytest.approx(metrics.log_loss(true, evaluation.probabilities), abs=1e-5)
    np.testing.assert_array_equal(evaluation.confusion, metrics.confusion_matrix(true, predicted))


def test_intervals_match_the_binomial_error(evaluation: Evaluation) -> None:
    """Each side is within a tenth of 1.96 binomial standard errors."""
    accuracy, count = evaluation.accuracy, len(evaluation.predicted)
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / count)
    assert accuracy.value - accuracy.low == pytest.approx(half, rel=0.15)
    assert accuracy.high - accuracy.value == pytest.approx(half, rel=0.15)
    for figure in (*evaluation.averages.values(), *(score.f1 for score in evaluation.classes)):
        assert figure.low < figure.value < figure.high


def test_a_class_that_is_never_predicted_scores_0(wardrobe: Dataset) -> None:
    """Its precision is 0, without a division by zero."""
    shares = np.zeros((len(wardrobe.test), 10), np.float32)
    shares[:, 3] = 1
    found = evaluate(answering(shares), wardrobe)
    assert found.classes[0].precision.value == 0
    assert found.classes[3].recall.value == 1
    assert np.isfinite(found.loss.value)


def test_a_perfect_score_on_few_images_is_not_certain(wardrobe: Dataset) -> None:
    """All right on 300 images leaves an interval below 1, for the accuracy and for each class."""
    found = evaluate(answering(np.eye(10, dtype=np.float32)[wardrobe.test.labels]), wardrobe)
    assert found.accuracy.low == pytest.approx(300 / (300 + 1.96**2), abs=1e-4)
    for score in found.classes:
        for figure in (score.precision, score.recall):
            assert (figure.value, figure.high) == (1, 1)
            assert figure.low == pytest.approx(score.images / (score.images + 1.96**2), abs=1e-4)
        assert score.precision.low < score.f1.low < score.f1.value == 1


def test_the_most_confident_mistake_comes_first(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """All misclassified images are sorted by decreasing confidence."""
    worst = worst_mistakes(evaluation, wardrobe.test.labels)
    assert len(worst) == round((1 - evaluation.accuracy.value) * len(wardrobe.test))
    assert (evaluation.predicted[worst] != wardrobe.test.labels[worst]).all()
    sureness = evaluation.probabilities[worst].max(axis=1)
    assert (np.diff(sureness) <= 0).all()


def test_a_data_set_with_other_classes_is_refused(wardrobe: Dataset) -> None:
    """The message names both lists of classes."""
    with pytest.raises(DataError, match="the model has a, b"):
        evaluate(answering(np.zeros((300, 2), np.float32), ("a", "b")), wardrobe)


def test_an_unknown_language_is_refused(wardrobe: Dataset) -> None:
    """The message lists the languages of the model."""
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


@pytest.mark.slow
@pytest.mark.train
class TestAnyModel:
    """`edge-fm evaluate` scores Keras, scikit-learn and ONNX models alike."""

    @pytest.mark.slow
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
        """A run folder, its file, an .h5 of inferred scale and the export have the same accuracy."""
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
        """The table has the class names of the requested language."""
        done = cli("evaluate", runs / "logreg", "--data", "wardrobe", "--lang", "ko")
        assert done.code == 0, done.err
        assert "앵클 부츠" in done.out
        assert "Ankle boot" not in done.out

    def test_pixels_that_no_scale_explains(self, cli: RunCli, runs: Path, tmp_path: Path) -> None:
        """A network at chance level for every scale is refused, with the score of each scale."""
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
        """A network with another input shape than the data set's is refused."""
        from edge_fm_exporters.framework import import_keras

        keras = import_keras()
        network = keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
        )
        network.save(tmp_path / "small.keras")
        with pytest.raises(ModelError, match=r"takes pictures of \(8, 8, 1\), and wardrobe .* \(28, 28, 1\)"):
            open_predictor(str(tmp_path / "small.keras"), "wardrobe")


def test_an_unknown_model_is_refused() -> None:
    """The message names the model that does not exist."""
    with pytest.raises(ModelError):
        open_predictor("no-such-model", "wardrobe")
