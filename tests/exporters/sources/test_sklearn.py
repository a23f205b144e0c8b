"""scikit-learn models: parity with their own answers, and what is refused."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm_exporters import ExportData, ExportRequest, export
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization.search import Int8Limits
from edge_fm_exporters.sources import sklearn as source_format
from edge_fm_runtime.artifact.passport import PrecisionKind
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.golden import replay

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 800, 400)


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what scikit-learn sees."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def models() -> dict[str, Any]:
    """Return one of each kind that is known, not fitted."""
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
    from sklearn.svm import LinearSVC

    sgd = SGDClassifier(loss="log_loss", max_iter=3, random_state=0)
    return {
        "logreg": LogisticRegression(max_iter=20),
        "standardised sgd": make_pipeline(StandardScaler(), sgd),
        "two scalers": make_pipeline(MinMaxScaler(), StandardScaler(with_mean=False), sgd),
        "only divided": make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=20)),
        "one versus rest": OneVsRestClassifier(sgd),
        "one versus one": OneVsOneClassifier(sgd),
        "one versus one of planes": OneVsOneClassifier(LinearSVC(max_iter=50)),
        "a network": MLPClassifier((20,), max_iter=5, random_state=0),
        "a network behind a scaler": make_pipeline(StandardScaler(), MLPClassifier((9,), max_iter=5)),
    }


def kept(model: object, path: Path) -> Path:
    """Keep a model with skops."""
    import skops.io

    skops.io.dump(model, path)
    return path


@pytest.mark.parametrize("kind", models())
def test_the_exported_model_answers_as_the_source(kind: str, wardrobe: Dataset, tmp_path: Path) -> None:
    """The file agrees with `predict`, and with `predict_proba` where there is one."""
    model = models()[kind].fit(pixels(wardrobe.train.images), wardrobe.train.labels)
    path = kept(model, tmp_path / "model.skops")
    data = ExportData(
        name="wardrobe",
        licence="MIT",
        calibration=wardrobe.train.images,
        test=LabelledImages("wardrobe", "test", wardrobe.test.images, wardrobe.test.labels),
    )
    request = ExportRequest(
        source=path, output=tmp_path / "model.onnx", labels=wardrobe.class_names, scale=UNIT
    )
    export(request, data)
    classifier = Classifier.load(tmp_path / "model.onnx")
    answers = classifier.probabilities(wardrobe.test.images)
    np.testing.assert_array_equal(answers.argmax(axis=1), model.predict(pixels(wardrobe.test.images)))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert not [result for result in replay(classifier) if result.stage]
    votes = kind.startswith("one versus one")
    assert classifier.passport.decision.calibrated is not votes
    if not votes:
        own = model.predict_proba(pixels(wardrobe.test.images))
        sure = own.max(axis=1) > own.mean(axis=1)  # where all sigmoids underflow, scikit-learn says all alike
        np.testing.assert_allclose(answers[sure], own[sure], atol=1e-3)


def test_the_graph_is_one_layer(wardrobe: Dataset, tmp_path: Path) -> None:
    """Scalers are folded, and the 45 classifiers of pairs are one product: what one would write by hand."""
    from edge_fm_exporters.graph import cleanup

    for kind, operators in (
        ("standardised sgd", 12),
        ("logreg", 3),
        ("one versus one", 13),
    ):
        model = models()[kind].fit(pixels(wardrobe.train.images), wardrobe.train.labels)
        source = source_format.load(kept(model, tmp_path / "model.skops"))
        nodes = cleanup.clean(source.convert(17)).graph.node
        assert len(nodes) <= operators, [node.op_type for node in nodes]
        assert {node.domain for node in nodes} == {""}


@pytest.mark.parametrize("opset", [15, 17, 18, 21])
def test_operator_sets(opset: int, wardrobe: Dataset, tmp_path: Path) -> None:
    """A reduction's axis is an attribute or an input, as the operator set has it."""
    import onnxruntime as ort

    from edge_fm_exporters.graph import cleanup

    for kind in ("one versus rest", "one versus one"):
        model = models()[kind].fit(pixels(wardrobe.train.images), wardrobe.train.labels)
        source = source_format.load(kept(model, tmp_path / "model.skops"))
        proto = cleanup.clean(source.convert(opset))
        assert proto.opset_import[0].version == opset
        scaled = wardrobe.test.images[:7].astype(np.float32) / np.float32(255)
        (answers,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"image": scaled})
        np.testing.assert_allclose(answers, source.predict(scaled), atol=1e-3)


def test_int8_of_a_linear_model(wardrobe: Dataset, tmp_path: Path) -> None:
    """The one dense layer is quantised and the rest stays as it is."""
    model = models()["logreg"].fit(pixels(wardrobe.train.images), wardrobe.train.labels)
    path = kept(model, tmp_path / "model.skops")
    pictures = LabelledImages("wardrobe", "test", wardrobe.test.images, wardrobe.test.labels)
    request = ExportRequest(
        source=path,
        output=tmp_path / "m.onnx",
        labels=wardrobe.class_names,
        scale=UNIT,
        int8=True,
        limits=Int8Limits(0.02),
    )
    data = ExportData(
        name="wardrobe", licence="MIT", calibration=wardrobe.train.images, test=pictures, selection=pictures
    )
    result = export(request, data)
    assert result.passport.precision.kind is PrecisionKind.INT8, result.kept_fp32
    assert result.size_bytes < result.fp32_size_bytes - 20_000


def test_names_come_from_the_model(wardrobe: Dataset, tmp_path: Path) -> None:
    """A model that was fitted on names brings its labels, in its own order."""
    from sklearn.linear_model import LogisticRegression

    names = np.array(wardrobe.class_names)[wardrobe.train.labels]
    model = LogisticRegression(max_iter=5).fit(pixels(wardrobe.train.images), names)
    path = kept(model, tmp_path / "model.skops")
    export(ExportRequest(source=path, output=tmp_path / "m.onnx", labels=None, scale=UNIT), None)
    classifier = Classifier.load(tmp_path / "m.onnx")
    assert classifier.passport.labels == tuple(sorted(wardrobe.class_names))
    said = [
        classifier.decide(classifier.probabilities(image[np.newaxis]))[0].label
        for image in wardrobe.test.images[:20]
    ]
    assert said == list(model.predict(pixels(wardrobe.test.images[:20])))


class TestRefused:
    """Files that are no image classifier, or would run code."""

    def check(self, model: object, said: str, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=said):
            source_format.load(kept(model, tmp_path / "model.skops"))

    def test_no_probabilities(self, wardrobe: Dataset, tmp_path: Path) -> None:
        """A margin is no probability, and the way to one is named."""
        from sklearn.linear_model import SGDClassifier

        model = SGDClassifier(max_iter=2).fit(pixels(wardrobe.train.images), wardrobe.train.labels)
        self.check(model, "loss='log_loss'", tmp_path)

    def test_pairs_of_what_is_not_linear(self, wardrobe: Dataset, tmp_path: Path) -> None:
        """Votes of other classifiers are not known."""
        from sklearn.multiclass import OneVsOneClassifier
        from sklearn.naive_bayes import GaussianNB

        model = OneVsOneClassifier(GaussianNB()).fit(pixels(wardrobe.train.images), wardrobe.train.labels)
        self.check(model, "without probabilities", tmp_path)

    def test_no_classifier(self, tmp_path: Path) -> None:
        """A regression is named."""
        from sklearn.linear_model import LinearRegression

        model = LinearRegression().fit(np.zeros((4, 784)), np.arange(4))
        self.check(model, "is a LinearRegression, expected a fitted classifier", tmp_path)

    def test_no_picture(self, tmp_path: Path) -> None:
        """Numbers that make no square are no picture."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression().fit(np.eye(6, 13), [0, 1, 2, 0, 1, 2])
        self.check(model, "13 numbers, expected images", tmp_path)

    def test_gaps_in_the_numbers(self, tmp_path: Path) -> None:
        """Classes 3 and 7 have no place in the order of the outputs."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression().fit(np.eye(6, 16), [3, 7, 9, 3, 7, 9])
        self.check(model, "expected 0 to 2", tmp_path)

    def test_types_that_are_not_known(self, tmp_path: Path) -> None:
        """A type for which skops does not vouch, such as a tree's, is named and never loaded."""
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier().fit(np.eye(6, 16), [0, 1, 2, 0, 1, 2])
        self.check(tree, r"brings sklearn\.tree\._tree\.Tree, for which skops does not vouch", tmp_path)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
    def test_damaged_files(self, content: bytes, tmp_path: Path) -> None:
        """A damaged file is a sentence."""
        (tmp_path / "model.skops").write_bytes(content)
        with pytest.raises(ModelError, match="no whole skops file"):
            source_format.load(tmp_path / "model.skops")

    def test_an_archive_without_a_schema(self, tmp_path: Path) -> None:
        """A zip of something else is a sentence."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("readme", "x")
        (tmp_path / "model.skops").write_bytes(buffer.getvalue())
        with pytest.raises(ModelError, match="no whole skops file"):
            source_format.load(tmp_path / "model.skops")

    def test_no_file(self, tmp_path: Path) -> None:
        """A missing file is a sentence."""
        with pytest.raises(ModelError, match="there is no model"):
            source_format.load(tmp_path / "model.skops")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes_": np.arange(10).reshape(2, 5)}, r"classes of the shape \(2, 5\)"),
        ({"classes_": np.array(3)}, r"classes of the shape \(\)"),
        ({"classes_": np.arange(20_000)}, r"classes of the shape \(20000,\)"),
        ({"n_features_in_": 2**62}, "takes 4611686018427387904 numbers"),
        ({"n_features_in_": 0}, "takes 0 numbers"),
        ({"n_features_in_": "16"}, "takes '16' numbers"),
        ({"coef_": np.ones((3, 5))}, "cannot be used"),
        ({"coef_": "weights"}, "cannot be used"),
        ({"coef_": np.full((3, 16), np.nan)}, "finite numbers for 3 classes"),
        ({"intercept_": np.ones((7, 7))}, "cannot be used"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_fitted_arrays_that_contradict_each_other(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """Classes, features and weights of a wrong shape or type are refused when the file is read."""
    from sklearn.linear_model import LogisticRegression
    from skops.io import dump

    images, labels = np.random.default_rng(0).random((30, 16)), np.arange(30) % 3
    model = LogisticRegression().fit(images, labels)
    for name, value in changes.items():
        setattr(model, name, value)
    path = tmp_path / "m.skops"
    dump(model, path)
    with pytest.raises(ModelError, match=message):
        source_format.load(path)
