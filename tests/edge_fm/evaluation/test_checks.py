"""Models and data that are not called good: the checks, and the commands that make them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import Dataset, Split
from edge_fm.evaluation import checks
from edge_fm.models.runs import Run
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli

NAMES = ("circle", "cross", "square")


def drawn(kind: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a circle, a cross or a square on a noisy ground."""
    image = rng.integers(0, 60, (28, 28), np.uint8)
    x, y = (int(place) for place in rng.integers(11, 17, 2))
    if kind == 0:
        cv2.circle(image, (x, y), 8, 230, 2)
    elif kind == 1:
        cv2.line(image, (x - 7, y - 7), (x + 7, y + 7), 230, 2)
        cv2.line(image, (x - 7, y + 7), (x + 7, y - 7), 230, 2)
    else:
        cv2.rectangle(image, (x - 7, y - 7), (x + 7, y + 7), 230, -1)
    return image


def folder(path: Path, counts: tuple[int, ...], kind_of: object = None, seed: int = 0) -> Path:
    """Write a folder of drawn shapes; `kind_of(class, rng)` is the shape that its pictures show."""
    rng = np.random.default_rng(seed)
    for index, count in enumerate(counts):
        (path / NAMES[index]).mkdir(parents=True)
        for number in range(count):
            kind = kind_of(index, rng) if callable(kind_of) else index
            cv2.imwrite(str(path / NAMES[index] / f"{number}.png"), drawn(kind, rng))
    return path


def dataset(train: int = 40, test: int = 40, shared: int = 0) -> Dataset:
    """Return a data set of three even classes of which `shared` test pictures are training pictures."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3 * (train + test), 8, 8, 1), np.uint8)
    labels = np.arange(len(images)) % 3
    first, second = Split(images[: 3 * train], labels[: 3 * train]), images[3 * train :]
    second[:shared] = first.images[:shared]
    return Dataset("drawn", NAMES, first, Split(second, labels[3 * train :]), "MIT")


def test_pictures_of_both_parts_are_counted() -> None:
    """A test picture with the pixels of a training picture is counted, and said."""
    assert checks.shared_pictures(dataset()) == 0
    assert checks.shared_pictures(dataset(shared=7)) == 7
    (found,) = checks.check_data(dataset(shared=7))
    assert "7 of 120 test pictures" in str(found)
    (found,) = checks.check_data(replace(dataset(), test_in_training=3))
    assert "3 of 120 test pictures" in str(found)


def test_cross_validation_speaks_for_a_small_test_part() -> None:
    """With few test pictures the out-of-fold answers are judged; with enough, those of the test part."""
    small, large = dataset(test=2), dataset(test=60)
    at_chance = np.random.default_rng(0).permutation(small.train.labels), small.train.labels
    sound = small.train.labels, small.train.labels
    for part, answers, failures in ((small, at_chance, 1), (small, sound, 0), (large, at_chance, 0)):
        found = checks.check_run(part, part.test.labels, answers)
        assert [one.is_failure for one in found] == [True] * failures
    (few,) = checks.check_run(small, small.test.labels)
    assert "fewer than 10 test pictures" in few.text
    assert "--set folds=5" in few.remedy


@pytest.mark.train
class TestCommands:
    """`train`, `export` and `evaluate` on real folders."""

    def test_a_model_that_learns_passes(self, cli: RunCli, tmp_path: Path) -> None:
        """Its accuracy has an interval, and the export is suggested and goes well."""
        data, run, file = folder(tmp_path / "shapes", (60, 60, 60)), tmp_path / "run", tmp_path / "m.onnx"
        done = cli("train", data, "--model", "logreg", "-o", run)
        assert done.code == 0, done.err
        line = r"test: accuracy [\d.]+ \([\d.]+ to [\d.]+, \d+ pictures; the largest class alone is 0\.\d\d\)"
        assert re.search(line, done.out)
        assert "next: edge-fm export" in done.out
        assert re.search(r"(fewer than 10 test pictures of .*|test part has only .*): add pictures", done.err)
        exported = cli("export", run, "-o", file)
        assert exported.code == 0, exported.err
        assert re.search(r"^accuracy [\d.]+ \([\d.]+ to [\d.]+, \d+ pictures;", exported.out, re.MULTILINE)
        assert "next: edge-fm verify" in exported.out
        measured = cli("evaluate", file, "--data", data)
        assert measured.code == 0, measured.err
        assert re.search(r"the largest class alone is 0\.\d\d\)", measured.out)

    def test_shuffled_labels_are_no_success(self, cli: RunCli, tmp_path: Path) -> None:
        """At chance, each command ends with exit code 1 and says why; run and file are kept."""
        data = folder(tmp_path / "shapes", (60, 60, 60), lambda _index, rng: int(rng.integers(3)))
        run, file = tmp_path / "run", tmp_path / "m.onnx"
        done = cli("train", data, "--model", "logreg", "-o", run)
        assert done.code == 1
        assert "no more than chance (0.3" in done.err
        assert "check that the pictures have the right labels" in done.err
        assert f"the run folder {run} is kept" in done.err
        assert "next: edge-fm export" not in done.out
        assert [one.is_failure for one in Run.load(run).findings if "chance" in one.text] == [True]
        exported = cli("export", run, "-o", file)
        assert exported.code == 1
        assert "no more than chance (0.3" in exported.err
        assert "next:" not in exported.out
        measured = cli("evaluate", file, "--data", data, "--json")
        assert measured.code == 1
        said = json.loads(measured.out)["findings"]
        assert [one["is_failure"] for one in said if "chance" in one["text"]] == [True]
        foreign = cli("export", run / "model.skops", "--data", data, "--scale", "unit", "-o", file)
        assert foreign.code == 0, foreign.err
        assert "no more than chance" in foreign.err

    def test_a_dead_class_is_no_success(self, cli: RunCli, tmp_path: Path) -> None:
        """A class whose pictures cannot be told from a larger one's is never answered, and is named."""
        data = folder(tmp_path / "shapes", (200, 200, 25), lambda index, _rng: min(index, 1))
        test = folder(tmp_path / "others", (40, 40, 5), lambda index, _rng: min(index, 1), seed=1)
        settings = ("--set", "balance=no", "--set", "max_iter=20")
        done = cli("train", data, "--test", test, "--model", "logreg", *settings, "-o", tmp_path / "run")
        assert done.code == 1
        assert "the model never answers square (5 pictures)" in done.err
        assert "no more than chance" not in done.err

    def test_cross_validation_is_printed(self, cli: RunCli, tmp_path: Path) -> None:
        """With folds the line counts all training pictures, and the small test part needs no word."""
        data = folder(tmp_path / "shapes", (40, 40, 40))
        done = cli("train", data, "--model", "logreg", "--set", "folds=3", "-o", tmp_path / "run")
        assert done.code == 0, done.err
        assert re.search(r"cross-validation [\d.]+ \([\d.]+ to [\d.]+, 3 folds, \d+ pictures\)", done.out)
        assert "test part" not in done.err
