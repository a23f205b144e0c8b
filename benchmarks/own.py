"""Divide data sets of own classes by person: training pictures, and test pictures of other people.

    EDGE_FM_DATA=DIR python benchmarks/own.py signs 20 /tmp/signs-20     # 20 pictures a class to train on
    edge-fm train /tmp/signs-20/train -o run && edge-fm export run --int8 -o mine.onnx
    edge-fm label /tmp/signs-20/test --model mine.onnx -o labels.csv
    python benchmarks/own.py accuracy labels.csv

    python benchmarks/own.py table signs 20,50,150 0,1,2    # the whole, with baselines in the same time

`signs` are hand signs of the digits (`signs/students.csv` tells whose), `photos` are garments
(`photos/contributors.csv`). The test pictures are the same for every number of training pictures.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PEOPLE = {"signs": ("students.csv", "student"), "photos": ("contributors.csv", "contributor")}
"""File and column that tell whose each picture is, by data set."""

TEST_SHARE = {"signs": 0.273, "photos": 0.2}
"""Share of the people whose pictures are tested on; about 562 hand signs."""


def pictures(name: str, folder: Path | None = None) -> list[tuple[Path, str, str]]:
    """Return (path, class, person) of each picture of a data set, sorted."""
    root = folder or Path(os.environ["EDGE_FM_DATA"]) / name
    file, column = PEOPLE[name]
    with (root / file).open(newline="", encoding="utf-8") as rows:
        found = [(root / row["path"], row[column]) for row in csv.DictReader(rows)]
    return sorted((path, path.parent.name, person) for path, person in found if path.is_file())


def divide(name: str, count: int, seed: int = 0) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """Return (training, test) pictures with their classes; no person is in both.

    Args:
        name: `signs` or `photos`.
        count: training pictures of each class, drawn at random; a class with fewer gives all.
        seed: seed of the people and of the pictures.
    """
    rng = np.random.default_rng(seed)
    known = pictures(name)
    people = sorted({person for _, _, person in known})
    tested = set(rng.permutation(people)[: round(len(people) * TEST_SHARE[name])].tolist())
    test = [(path, kind) for path, kind, person in known if person in tested]
    by_class: dict[str, list[Path]] = defaultdict(list)
    for path, kind, person in known:
        if person not in tested:
            by_class[kind].append(path)
    training = [
        (paths[index], kind)
        for kind, paths in sorted(by_class.items())
        for index in rng.permutation(len(paths))[:count]
    ]
    return training, test


def link(part: list[tuple[Path, str]], folder: Path) -> None:
    """Lay a part out as a folder with one sub-folder per class, of symbolic links."""
    for path, kind in part:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / path.name).symlink_to(path.resolve())


def accuracy(table: Path) -> tuple[float, int]:
    """Return the share of right labels in a table of `edge-fm label`, and the number of its pictures.

    The right label of a picture is the name of its folder; an `unknown` counts as wrong.
    """
    with table.open(newline="", encoding="utf-8") as file:
        right = [row["label"] == Path(row["path"]).parent.name for row in csv.DictReader(file)]
    return float(np.mean(right)), len(right)


@dataclass(frozen=True)
class Result:
    """A row of the table.

    Attributes:
        command: what was run.
        accuracy: on the test pictures.
        seconds: of training and export, as whole processes.
        kilobytes: size of the file; 0 for a baseline without one.
        milliseconds: of one picture on one thread, `label`'s file; 0 for a baseline.
    """

    command: str
    accuracy: float
    seconds: float
    kilobytes: float = 0.0
    milliseconds: float = 0.0


def edge_fm(*arguments: object) -> float:
    """Run `edge-fm` and return its seconds; exit code 1 is a result, 2 an error."""
    command = [str(Path(sys.executable).with_name("edge-fm")), *map(str, arguments)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise RuntimeError((done.stdout + done.stderr).strip())
    return time.perf_counter() - begun


def ours(folder: Path, work: Path, *options: str) -> Result:
    """Train by one command, export as int8, label the test pictures."""
    seconds = edge_fm("train", folder / "train", "-o", work / "run", "--fresh", *options)
    seconds += edge_fm("export", work / "run", "--int8", "-o", work / "own.onnx")
    edge_fm("label", folder / "test", "--model", work / "own.onnx", "-o", work / "labels.csv", "--fresh")
    from edge_fm_runtime.classifier import Classifier

    classifier = Classifier.load(work / "own.onnx")
    image, taken = np.zeros((1, *classifier.passport.input.shape), np.uint8), []
    for _ in range(50):
        begun = time.perf_counter()
        classifier.probabilities(image)
        taken.append(time.perf_counter() - begun)
    size = (work / "own.onnx").stat().st_size / 1000
    command = " ".join(["train DIR -o run", *options])
    return Result(command, accuracy(work / "labels.csv")[0], seconds, size, 1000 * float(np.median(taken)))


GUIDE = """
import sys, time
from edge_fm_exporters.framework import import_keras
keras = import_keras()
layers, limit = keras.layers, float(sys.argv[2])
load = lambda part: keras.utils.image_dataset_from_directory(
    f"{sys.argv[1]}/{part}", image_size=(64, 64), batch_size=32, shuffle=part == "train", verbose=False)
training, test = load("train"), load("test")
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((64, 64, 3)), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.Rescaling(1 / 255),
    *[layer for width in (32, 64, 128) for layer in (
        layers.Conv2D(width, 3, padding="same", activation="relu"), layers.MaxPooling2D())],
    layers.Dropout(0.2), layers.Flatten(), layers.Dense(128, activation="relu"),
    layers.Dense(len(training.class_names))])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
begun = time.perf_counter()
while time.perf_counter() - begun < limit:
    model.fit(training, verbose=0)
print(model.evaluate(test, verbose=0)[1])
"""
"""Keras' guide "Image classification", at 64x64 RGB, for as many seconds as ours took."""

FROZEN = """
import sys
from pathlib import Path
import numpy as np
from edge_fm import datasets
from edge_fm.models import backbones
from edge_fm.training.transfer import head
from edge_fm.training.transfer.feature_cache import FeatureCache
from edge_fm.training.transfer.features import FeatureExtractor
from edge_fm_exporters.framework import import_keras
backbone = backbones.load("transfer", int(sys.argv[2]))
extractor = FeatureExtractor(backbone, FeatureCache(backbone, None))
parts = [datasets.open_whole(f"{sys.argv[1]}/{part}", backbone.spec).load().test for part in ("train", "test")]
(x, y), (features, labels) = [(extractor.compute(part.images), part.labels) for part in parts]
if sys.argv[3] == "logistic":
    answers = head.fit(x, y, 0.1).probabilities(features)
else:
    keras = import_keras()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dropout(0.2),
                              keras.layers.Dense(int(y.max()) + 1, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.004, momentum=0.9),
                  keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    model.fit(x, np.eye(int(y.max()) + 1)[y], epochs=10, batch_size=32, verbose=0)
    answers = model.predict(features, verbose=0)
print((answers.argmax(axis=1) == labels).mean())
"""
"""A head on frozen features: logistic regression, or a dense layer as Model Maker trained it."""


def baseline(name: str, code: str, folder: Path, *arguments: object) -> Result:
    """Run a program that prints an accuracy."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", code, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Result(name, float(done.stdout.split()[-1]), time.perf_counter() - begun)


def table(name: str, counts: list[int], seeds: list[int]) -> None:
    """Print a row for each number of pictures, seed and way to train."""
    print(f"{'N':>4} seed  {'way':44} accuracy       kB     ms  seconds")
    for count in counts:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / f"{name}-{count}"
                for part, rows in zip(("train", "test"), divide(name, count, seed), strict=True):
                    link(rows, folder / part)
                rows_of = [ours(folder, Path(scratch))]
                rows_of.append(baseline("Keras' guide, 64x64 RGB", GUIDE, folder, rows_of[0].seconds))
                rows_of += [
                    baseline(f"frozen Lite0, {size}, {head}", FROZEN, folder, size, head)
                    for size, head in ((128, "logistic"), (224, "logistic"), (224, "Model Maker's head"))
                ]
            for row in rows_of:
                print(
                    f"{count:>4} {seed:>4}  {row.command:44} {row.accuracy:8.3f} {row.kilobytes:8,.0f} "
                    f"{row.milliseconds:6.2f} {row.seconds:8.0f}",
                    flush=True,
                )


def main() -> None:
    """Lay out a division, print the accuracy of a table, or run the whole comparison."""
    if sys.argv[1] == "accuracy":
        share, count = accuracy(Path(sys.argv[2]))
        print(f"{share:.4f} of {count} pictures")
        return
    if sys.argv[1] == "table":
        counts, seeds = ([int(text) for text in words.split(",")] for words in sys.argv[3:5])
        table(sys.argv[2], counts, seeds)
        return
    name, count, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    for part, rows in zip(("train", "test"), divide(name, count), strict=True):
        link(rows, out / part)
        print(f"{len(rows):,} pictures in {out / part}")


if __name__ == "__main__":
    main()
