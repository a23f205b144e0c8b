"""Findings about a model and its pictures, one by one."""

import math

import numpy as np
import pytest

from edge_fm_exporters.evidence import findings
from edge_fm_exporters.evidence.findings import MeasuredAccuracy, QualityFinding

ABC = ("a", "b", "c")


def judged(
    labels: list[int], predicted: list[int], names: tuple[str, ...] = ("a", "b")
) -> tuple[QualityFinding, ...]:
    """Return the findings of predictions."""
    return findings.judge_predictions(np.array(predicted), np.array(labels), names, "signs (test)")


def test_accuracy_is_said_with_its_interval_and_the_largest_class() -> None:
    """The bounds have as many digits as the number of pictures allows."""
    assert str(MeasuredAccuracy(514, 562, 62)) == (
        "0.9146 (0.89 to 0.93, 562 pictures; the largest class alone is 0.11)"
    )
    assert str(MeasuredAccuracy(9263, 10_000, 1000)) == (
        "0.9263 (0.921 to 0.931, 10,000 pictures; the largest class alone is 0.10)"
    )
    assert str(MeasuredAccuracy(1, 1, 1)).endswith("1 picture; the largest class alone is 1.00)")


def test_cross_validation_is_said_in_a_line() -> None:
    """It names the folds and all pictures."""
    line = MeasuredAccuracy(465, 500, 50).as_cross_validation(5)
    assert line == "cross-validation 0.9300 (0.90 to 0.95, 5 folds, 500 pictures)"


def test_parts_are_counted_together() -> None:
    """The accuracy of several folds is that of all their pictures."""
    assert findings.pooled([MeasuredAccuracy(9, 10, 5), MeasuredAccuracy(1, 2, 1)]).value == 10 / 12


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        ([[math.nan, math.nan], [0.2, 0.8]], None, "1 of 2 images with no number"),
        ([[math.nan, math.nan]] * 3, None, "3 of 3 images with no number"),
        ([[0.2, 0.8], [0.3, 0.7]], None, "all 2 images of drawn the same label, b"),
        ([[0.2, 0.8]] * 12, [0] * 6 + [1] * 6, "all 12 images of drawn the same label, b"),
        ([[0.9, 0.1], [0.2, 0.8]] * 10, [0, 0, 1, 1] * 5, "is 0.5000 (0.30 to 0.70, 20 pictures"),
        ([[0.9, 0.1], [0.2, 0.8]] * 10, [0, 1] * 10, ""),
    ],
)
def test_answers_that_look_untrained(
    source: list[list[float]], labels: list[int] | None, message: str
) -> None:
    """No numbers, one label for everything, and accuracy at chance are a failure each, said once."""
    given = np.array(source, np.float32)
    found = findings.judge_answers(given, None if labels is None else np.array(labels), ("a", "b"), "drawn")
    assert [(message in str(one), one.is_failure) for one in found] == ([(True, True)] if message else [])


@pytest.mark.parametrize(
    ("right", "count", "is_chance"),
    [(54, 562, True), (70, 562, True), (72, 562, False), (10, 100, True), (18, 100, False)],
)
def test_an_accuracy_whose_interval_reaches_chance_is_a_failure(
    right: int, count: int, is_chance: bool
) -> None:
    """With ten even classes, the border is where the interval of the accuracy begins above 0.10."""
    labels = np.arange(count) % 10
    predicted = (labels + 1) % 10
    chosen = np.random.default_rng(0).permutation(count)[:right]
    predicted[chosen] = labels[chosen]
    found = findings.judge_predictions(predicted, labels, tuple("abcdefghij"), "signs (test)")
    assert ["no more than chance (0.10)" in one.text and one.is_failure for one in found] == [
        True
    ] * is_chance


def test_so_few_pictures_that_no_model_could_show_itself_are_no_failure() -> None:
    """Two pictures cannot tell a perfect model of two classes from chance, and four can."""
    (found,) = judged([0, 1], [0, 1])
    assert not found.is_failure
    assert "so few pictures" in found.text
    assert judged([0, 0, 1, 1], [0, 0, 1, 1]) == ()
    (found,) = judged([0, 0, 1, 1], [0, 1, 1, 1])
    assert found.is_failure


def test_a_rare_class_that_is_found_is_no_chance() -> None:
    """Nine of ten rare pictures found at five false alarms are as right as "common" for all 200."""
    labels = [0] * 190 + [1] * 10
    (found,) = judged(labels, [0] * 185 + [1] * 5 + [1] * 9 + [0], ("common", "rare"))
    assert not found.is_failure
    assert "always answering common would be right about as often" in found.text


def test_a_guess_in_the_shares_of_uneven_classes_is_chance() -> None:
    """Guessing as often as the classes occur is a failure, although right on 0.9."""
    labels = np.array([0] * 190 + [1] * 10)
    guess = np.random.default_rng(1).permutation(labels)
    (found,) = judged(labels.tolist(), guess.tolist(), ("common", "rare"))
    assert found.is_failure
    assert "no more than chance" in found.text


@pytest.mark.parametrize(("count", "is_failure"), [(3, False), (4, True), (12, True)])
def test_a_class_that_is_never_answered_is_named(count: int, is_failure: bool) -> None:
    """It is a failure where it has at least four pictures; fewer may be missed by chance."""
    labels = [0] * 20 + [1] * 20 + [2] * count
    (found,) = judged(labels, [0] * 20 + [1] * 20 + [0] * count, ABC)
    assert found.is_failure == is_failure
    assert f"never answers c ({count} pictures)" in found.text


def test_a_class_without_pictures_need_not_be_answered() -> None:
    """Nothing is said of a class that the test part does not have."""
    assert judged([0] * 20 + [1] * 20, [0] * 20 + [1] * 20, ABC) == ()


def test_many_dead_classes_are_counted() -> None:
    """Eight are named, and the others are a number."""
    labels = np.repeat(np.arange(20), 5)
    predicted = np.where(labels < 10, labels, labels - 10)
    (found,) = findings.judge_predictions(predicted, labels, [f"k{n}" for n in range(20)], "signs")
    assert "k17 (5 pictures) and 2 more" in found.text


@pytest.mark.parametrize(
    ("test", "text"),
    [
        ([60, 9, 60], "fewer than 10 test pictures of b (9)"),
        ([60, 0, 3], "fewer than 10 test pictures of b (0), c (3)"),
        ([30, 30, 30], "the test part has only 90 pictures"),
        ([40, 40, 40], ""),
    ],
)
def test_a_small_test_part_is_named(test: list[int], text: str) -> None:
    """Fewer than ten pictures of a class, or fewer than 100 in all, come with how to measure on more."""
    found = findings.judge_test_size(np.array(test), ABC, "take more")
    assert [str(one) for one in found] == ([f"{text}: take more"] if text else [])


@pytest.mark.parametrize(
    ("training", "named"),
    [([400, 20, 30], ""), ([401, 20, 30], "a (401) against b (20):"), ([400, 3, 0], "b (3), c (0):")],
)
def test_classes_that_are_unbalanced_are_named(training: list[int], named: str) -> None:
    """More than 20 to 1 is said, with the counts."""
    found = findings.judge_unevenness(np.array(training), ABC)
    assert [named in str(one) for one in found] == [True] * bool(named)


def test_shared_pictures_are_counted() -> None:
    """Their number is said, and none is nothing to say."""
    assert findings.judge_duplicates(0, 100) == ()
    assert "12 of 100 test pictures" in findings.judge_duplicates(12, 100)[0].text
