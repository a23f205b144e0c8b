"""The decision: temperature, threshold, groups and known-class score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_exporters.decision.confidence import DecisionImages, ScoredImages, fit
from edge_fm_runtime.artifact.passport import Decision, Passport
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError, ModelError
from edge_fm_runtime.status import Status

LABELS = ("dress", "sandal", "sneaker", "boot")
SHOES = (("sandal", "sneaker", "boot"),)


def answers(count: int, temperature: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return probabilities whose right temperature is known, and labels drawn from the true ones."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, 4))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = np.array([rng.choice(4, p=row) for row in true])
    sharp = np.exp(logits * temperature)
    return (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32), np.eye(4, dtype=bool)[drawn]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(temperature: float) -> None:
    """Probabilities that are too sharp or too flat get the temperature that makes them right."""
    raw, allowed = answers(20_000, temperature)
    assert fit(ScoredImages(raw, allowed), (), LABELS, 0.95).temperature == pytest.approx(
        temperature, rel=0.05
    )


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_keeps_what_was_asked(tiny: Classifier, coverage: float) -> None:
    """The share of validation pictures that stays known is the coverage, as the runtime itself decides."""
    raw, allowed = answers(5000, 1.0)
    decision = fit(ScoredImages(raw, allowed), SHOES, LABELS, coverage)
    classifier = Classifier(Fixed(raw), replace(tiny.passport, labels=LABELS, decision=decision, golden=()))
    known = [
        p.status is Status.OK
        for p in classifier.decide(classifier.probabilities(np.zeros((5000, 1), np.uint8)))
    ]
    assert np.mean(known) == pytest.approx(coverage, abs=0.002)
    assert np.mean(known) >= coverage - 1e-9


class Fixed:
    """A session whose answers are given."""

    def __init__(self, raw: NDArray[np.float32]) -> None:
        self.raw = raw

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.raw[: len(images)]


def test_pictures_of_no_class_take_no_part() -> None:
    """Hats change neither temperature nor threshold; with hats alone there is nothing to fit."""
    raw, allowed = answers(2000, 1.0)
    hats = np.zeros((500, 4), bool)
    with_hats = ScoredImages(np.concatenate([raw, raw[:500]]), np.concatenate([allowed, hats]))
    assert fit(with_hats, (), LABELS, 0.9) == fit(ScoredImages(raw, allowed), (), LABELS, 0.9)
    with pytest.raises(DataError, match="nothing can be fitted"):
        fit(ScoredImages(raw[:500], hats), (), LABELS, 0.9)


def ood_calibration(count: int) -> ScoredImages:
    """Return probabilities for images of known classes, and as many of none."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (2 * count, 4))
    logits[np.arange(count), rng.integers(4, size=count)] += 3
    logits[count:, [0, 3]] += 4  # as sure as the others, of one of two
    raw = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    allowed = np.zeros((2 * count, 4), bool)
    allowed[np.arange(count), logits[:count].argmax(axis=1)] = True
    return ScoredImages(raw.astype(np.float32), allowed)


def test_the_known_class_score_separates_images_of_no_class(tiny: Classifier) -> None:
    """Images of no class have lower known-class scores than others of equal probabilities."""
    training = ood_calibration(2000)
    decision = fit(ScoredImages(training.raw[:2000], training.allowed[:2000]), (), LABELS, 0.95, training)
    answered = {}
    for name, kept in (("with", decision), ("without", replace(decision, known_class_weights=()))):
        passport = replace(tiny.passport, labels=LABELS, decision=kept, golden=())
        classifier = Classifier(Fixed(training.raw), passport)
        answered[name] = classifier.decide(classifier.probabilities(np.zeros((4000, 1), np.uint8)))
    right = {}
    for name, predictions in answered.items():
        confidence = np.array([prediction.confidence for prediction in predictions])
        right[name] = (confidence[:2000, None] > confidence[None, 2000:]).mean()
    assert right["with"] > max(0.9, right["without"] + 0.1)
    assert [p.label for p in answered["with"]] == [p.label for p in answered["without"]]
    assert np.mean([p.status is Status.OK for p in answered["with"][:2000]]) == pytest.approx(0.95, abs=0.005)


def test_without_images_of_no_class_everything_is_known() -> None:
    """A training that had none, or nothing else, leaves confidences as they are."""
    training = ood_calibration(50)
    known = ScoredImages(training.raw[:50], training.allowed[:50])
    for seen in (None, known, ScoredImages(training.raw[50:], training.allowed[50:])):
        assert fit(known, (), LABELS, 0.95, seen).known_class_weights == ()


def test_the_known_class_weights_are_in_the_passport(tiny: Classifier) -> None:
    """It survives the file; too few weights or too large ones are refused; a file from before it has none."""
    passport = replace(tiny.passport, decision=Decision(known_class_weights=(1.5, -0.25, -0.5)))
    assert Passport.from_json(passport.to_json()) == passport
    older = passport.to_json().replace(',"known_class_weights":[1.5,-0.25,-0.5]', "")
    assert Passport.from_json(older).decision.known_class_weights == ()
    with pytest.raises(ModelError, match="2 known-class weights"):
        replace(tiny.passport, decision=Decision(known_class_weights=(1.0, 2.0)))
    for wrong in (1e9, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="for the known-class score"):
            Decision(known_class_weights=(wrong, 0.0, 0.0))


def test_groups_come_from_what_pictures_may_be() -> None:
    """Classes that one picture may be are a group; all else stands alone."""
    allowed = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
    validation = DecisionImages(np.zeros((4, 28, 28, 1), np.uint8), allowed[[0, 1]])
    assert validation.groups(LABELS) == (("sandal", "sneaker"),)


def test_a_shoe_between_three_shoes_is_surely_a_shoe(tiny: Classifier) -> None:
    """The confidence of a label is that of its group; the ranking keeps each label's own."""
    decision = Decision(unknown_below=0.5, coverage=0.95, groups=SHOES)
    raw = np.array([[0.1, 0.4, 0.3, 0.2], [0.4, 0.3, 0.2, 0.1]], np.float32)
    classifier = Classifier(Fixed(raw), replace(tiny.passport, labels=LABELS, decision=decision, golden=()))
    shoe, dress = classifier.decide(raw)
    assert (shoe.label, shoe.status) == ("sandal", Status.OK)
    assert shoe.confidence == pytest.approx(0.9)
    assert dict(shoe.ranking)["sandal"] == pytest.approx(0.4)
    assert (dress.label, dress.status) == ("dress", Status.UNKNOWN)
    assert classifier.confidence("boot", dress) == pytest.approx(0.6)


def test_groups_are_part_of_the_passport(tiny: Classifier) -> None:
    """They survive the file; strangers and doubles are refused; a file from before them has none."""
    passport = replace(tiny.passport, decision=Decision(groups=(tiny.passport.labels,)))
    assert Passport.from_json(passport.to_json()) == passport
    assert (
        Passport.from_json(passport.to_json().replace(',"groups":[["dark","light"]]', "")).decision.groups
        == ()
    )
    for wrong in ((("dark", "hat"),), (("dark",), ("dark", "light"))):
        with pytest.raises(ModelError, match="groups"):
            replace(tiny.passport, decision=Decision(groups=wrong))


def test_validation_that_is_damaged(tmp_path: Path) -> None:
    """A file that is no validation is a sentence."""
    path = tmp_path / "validation.npz"
    path.write_bytes(b"PK no")
    with pytest.raises(DataError, match="cannot be read"):
        DecisionImages.load(path)
    np.savez(path, images=np.zeros((3, 28, 28, 1), np.uint8), allowed=np.zeros((2, 4), bool))
    with pytest.raises(DataError, match="images uint8"):
        DecisionImages.load(path)


def test_scores_of_a_training_are_read_back(tmp_path: Path) -> None:
    """Out-of-fold probabilities come back as they were kept."""
    raw, allowed = answers(20, 1.0)
    np.savez_compressed(tmp_path / "scores.npz", raw=raw, allowed=allowed)
    read = ScoredImages.load(tmp_path / "scores.npz")
    np.testing.assert_array_equal(read.raw, raw)
    np.testing.assert_array_equal(read.allowed, allowed)


@pytest.mark.parametrize("kind", ["no archive", "other shapes", "other types"])
def test_broken_scores_are_refused(kind: str, tmp_path: Path) -> None:
    """A file that is no archive, or whose arrays do not go together, is refused with the remedy."""
    path = tmp_path / "scores.npz"
    raw, allowed = answers(20, 1.0)
    if kind == "no archive":
        path.write_bytes(b"scores")
    elif kind == "other shapes":
        np.savez(path, raw=raw[:5], allowed=allowed)
    else:
        np.savez(path, raw=raw.astype(np.float64), allowed=allowed)
    with pytest.raises(DataError, match="train again"):
        ScoredImages.load(path)
