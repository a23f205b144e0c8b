"""Labels in a second language: from the passport to every output."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.artifact.passport import KEY, Decision, Passport, Translation
from edge_fm_runtime.batch.label import Model, label
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli

KOREAN = Translation("ko", ("어두움", "밝음"))


@pytest.fixture
def passport(tiny: Classifier) -> Passport:
    """Return the tiny model's passport with Korean labels and its two labels as a group."""
    groups = (tiny.passport.labels,)
    return replace(tiny.passport, translations=(KOREAN,), decision=Decision(groups=groups))


@pytest.fixture
def bilingual(passport: Passport, bare_path: Path, tmp_path: Path) -> Path:
    """Return a model file with Korean labels."""
    path = tmp_path / "bilingual.onnx"
    path.write_bytes(onnx_file.with_metadata(bare_path.read_bytes(), {KEY: passport.to_json()}))
    return path


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """Return a white image."""
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "pictures" / "bright.png"
    cv2.imwrite(str(path), np.full((30, 30), 255, np.uint8))
    return path


def test_translations_survive_in_the_passport(passport: Passport) -> None:
    """A passport with translations is read as it was written."""
    assert Passport.from_json(passport.to_json()) == passport


def test_a_passport_without_translations(passport: Passport) -> None:
    """A passport of version 2 has no translations and is calibrated."""
    value = json.loads(passport.to_json())
    del value["translations"], value["decision"]["calibrated"]
    value["version"] = 2
    read = Passport.from_json(json.dumps(value))
    assert read.translations == ()
    assert read.decision.calibrated


@pytest.mark.parametrize(
    ("translation", "message"),
    [
        ({"language": "Korean!", "labels": ["a", "b"]}, "not a code such as ko"),
        ({"language": "ko", "labels": ["a"]}, "1 labels, not 2"),
        ({"language": "ko", "labels": ["a", "b", "c"]}, "3 labels in ko for 2"),
        ({"language": "ko", "labels": ["a", "a"]}, "the same label twice"),
        ({"language": "ko", "labels": ["a", "b\u0007"]}, "not printable"),
        ({"language": "ko"}, r"no passport\.translations\[0\]\.labels"),
    ],
)
def test_broken_translations(passport: Passport, translation: dict[str, object], message: str) -> None:
    """A translation that does not fit the model is refused, with the fault in the message."""
    value = json.loads(passport.to_json())
    value["translations"] = [translation]
    with pytest.raises(ModelError, match=message):
        Passport.from_json(json.dumps(value))


def test_the_classifier_answers_in_the_language(bilingual: Path, bright: Path) -> None:
    """Label, ranking and group are translated; the numbers are the same."""
    plain, korean = Classifier.load(bilingual), Classifier.load(bilingual, language="ko")
    ours, theirs = korean.classify(str(bright)), plain.classify(str(bright))
    assert (ours.label, theirs.label) == ("밝음", "light")
    assert [share for _, share in ours.ranking] == [share for _, share in theirs.ranking]
    assert ours.confidence == theirs.confidence
    assert korean.confidence("어두움", ours) == plain.confidence("dark", theirs)


def test_a_language_that_the_model_lacks(bilingual: Path) -> None:
    """The message names the languages of the model, and how to add another."""
    with pytest.raises(
        ModelError, match=r"no labels in 'fr', only its original ones and ko.*--translation fr="
    ):
        Classifier.load(bilingual, language="fr")


def test_rows_in_the_language(cli: RunCli, bilingual: Path, bright: Path, tmp_path: Path) -> None:
    """`label --lang ko` writes Korean labels in UTF-8, and `--summary` counts them."""
    out = tmp_path / "labels.csv"
    done = cli("label", bright.parent, "--model", bilingual, "--lang", "ko", "-o", out, "--summary")
    assert done.code == 0, done.err
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["밝음"]
    assert "밝음" in done.out


def test_another_language_is_another_run(bilingual: Path, bright: Path, tmp_path: Path) -> None:
    """A run is not resumed with labels in another language."""
    out = tmp_path / "labels.csv"
    for language in (None, "ko"):
        label(
            Model(bilingual.read_bytes(), None, language),
            [str(bright)],
            out,
            Options(),
            lambda _done, _total, _made: None,
        )
        text = out.read_text(encoding="utf-8")
        assert ("밝음" in text) is (language == "ko")


def test_label_refuses_a_language_before_it_starts(
    cli: RunCli, bilingual: Path, bright: Path, tmp_path: Path
) -> None:
    """A language that the model lacks is refused at once, and nothing is written."""
    done = cli("label", bright.parent, "--model", bilingual, "--lang", "fr", "-o", tmp_path / "labels.csv")
    assert done.code == 2
    assert not (tmp_path / "labels.csv").exists()


def test_a_feed_in_the_language(cli: RunCli, bilingual: Path, bright: Path) -> None:
    """`webcam --lang ko` prints Korean labels."""
    done = cli("webcam", bright.parent, "--fast", "--view", "none", "--model", bilingual, "--lang", "ko")
    assert done.code == 0, done.err
    assert "밝음" in done.out


def test_the_bundled_model_has_korean_labels() -> None:
    """The Korean labels of the bundled model are those of the tutorials."""
    classifier = Classifier.from_bytes(read_model("fashion"), language="ko")
    assert classifier.passport.labels[:3] == ("티셔츠", "바지", "스웨터")
    assert classifier.passport.labels[9] == "앵클 부츠"
