"""The head of a transfer model: penalty, folds, standardisation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.training.transfer import head
from edge_fm_runtime.errors import DataError


def _features(
    per_class: int, classes: int = 3, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features of classes that lie apart, of different scales, one of them constant."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    features = rng.normal(size=(len(labels), 8)) + 4 * np.eye(8)[labels]
    features = features * np.logspace(-2, 2, 8) + 7
    features[:, -1] = 7
    return features.astype(np.float32), labels


def test_classes_that_lie_apart_are_told_apart() -> None:
    """Out of fold and on new images, separable classes are recognised, whatever the scale of the features."""
    features, labels = _features(30)
    found = head.cross_validated(features, labels)
    assert found.accuracy > 0.95
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    fresh, true = _features(30, seed=1)
    fitted = head.fit(features, labels, found.penalty)
    assert np.mean(fitted.probabilities(fresh).argmax(axis=1) == true) > 0.95


def test_two_classes_have_two_columns() -> None:
    """Each of two classes has its probability."""
    features, labels = _features(20, classes=2)
    probabilities = head.fit(features, labels, 1e-2).probabilities(features)
    assert probabilities.shape == (40, 2)
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.95


def test_groups_stay_on_one_side() -> None:
    """Copies of a picture in one group are no evidence: out of fold, random labels stay unlearnt."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40, 30)).astype(np.float32), rng.integers(0, 2, 40)
    copied, twice = np.repeat(features, 4, axis=0), np.repeat(labels, 4)
    groups = np.repeat(np.arange(40), 4)
    assert head.cross_validated(copied, twice).accuracy > 0.9
    assert head.cross_validated(copied, twice, groups).accuracy < 0.75


def test_a_class_of_one_image_is_never_predicted_for_itself() -> None:
    """A class with a single image gets no probability out of fold, and the others do."""
    features, labels = _features(10)
    features, labels = features[:21], labels[:21]  # ten, ten and one
    found = head.cross_validated(features, labels)
    assert found.probabilities[20, 2] == 0
    assert found.accuracy > 0.8


def test_mirror_images_are_used_where_they_help() -> None:
    """Mirror images that look like another class are left out, and true variations are taken."""
    features, labels = _features(12)
    wrong = features[np.argsort((labels + 1) % 3, kind="stable")]
    assert not head.cross_validated(features, labels, mirrored=wrong).flip
    assert head.cross_validated(features, labels, mirrored=wrong, flip=True).flip
    variation, _ = _features(12, seed=5)
    noisy = features + np.random.default_rng(0).normal(size=features.shape).astype(np.float32)
    assert head.cross_validated(noisy, labels, mirrored=variation).flip


@pytest.mark.parametrize("groups", [None, np.zeros(6)])
def test_too_few_images_are_refused(groups: NDArray[np.float64] | None) -> None:
    """One image of each class, or one group, cannot be divided into folds."""
    features, labels = _features(2)
    if groups is None:
        features, labels = features[::2], labels[::2]
    with pytest.raises(DataError, match="cannot be divided into folds"):
        head.cross_validated(features, labels, groups)
