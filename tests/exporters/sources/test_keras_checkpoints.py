"""Checkpoints of the tutorials, `best_cnn_model.h5` and `.keras`, exported and run."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.demo import samples
from edge_fm_runtime.classifier import Classifier
from tests.conftest import RunCli

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train as a tutorial does, compiled, with a checkpoint of each kind."""
    from edge_fm_exporters.framework import import_keras

    keras = import_keras()
    keras.utils.set_random_seed(0)
    wardrobe = datasets.limited(datasets.load("wardrobe"), 1000, 100)
    folder = tmp_path_factory.mktemp("tutorial")
    model = keras.Sequential()
    model.add(keras.Input((28, 28, 1)))
    model.add(keras.layers.Conv2D(32, kernel_size=3, activation="relu", padding="same"))
    model.add(keras.layers.MaxPooling2D(2))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(100, activation="relu"))
    model.add(keras.layers.Dropout(0.4))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        wardrobe.train.images / np.float32(255),
        wardrobe.train.labels,
        epochs=4,
        validation_split=0.2,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(str(folder / f"best_cnn_model.{kind}"), save_best_only=True)
            for kind in ("h5", "keras")
        ],
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_a_checkpoint_exports_and_runs(kind: str, checkpoints: Path, cli: RunCli, tmp_path: Path) -> None:
    """With --data, labels and scale are found and reported, and the file labels garments."""
    model, pictures, table = tmp_path / "cnn.onnx", tmp_path / "pictures", tmp_path / "labels.csv"
    done = cli("export", checkpoints / f"best_cnn_model.{kind}", "--data", "wardrobe", "-o", model)
    assert done.code == 0, done.err
    assert "pixels in training: unit" in done.out
    assert cli("verify", model).code == 0
    samples.draw_pictures(pictures)
    assert cli("label", pictures, "--model", model, "-o", table, "--lang", "ko").code == 0
    in_language = dict(
        zip(datasets.GARMENTS, Classifier.load(model, language="ko").passport.labels, strict=True)
    )
    with table.open(newline="", encoding="utf-8") as file:
        right = [
            row["label"] == in_language[samples.class_of(Path(row["path"]))] for row in csv.DictReader(file)
        ]
    assert sum(right) >= 0.8 * len(right)


@pytest.mark.slow
def test_a_network_of_whole_numbers(cli: RunCli, checkpoints: Path, tmp_path: Path) -> None:
    """A network that was trained on pixels of 0 to 255 is found out too."""
    from edge_fm.training.keras_fit import load_uncompiled
    from edge_fm_exporters.framework import import_keras

    keras = import_keras()
    inner = load_uncompiled(checkpoints / "best_cnn_model.keras")
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Rescaling(1 / 255), *inner.layers]).save(
        tmp_path / "raw.keras"
    )
    done = cli("export", tmp_path / "raw.keras", "--data", "wardrobe", "-o", tmp_path / "raw.onnx")
    assert done.code == 0, done.err
    assert "pixels in training: raw" in done.out


def test_without_data_both_options_are_named(cli: RunCli, checkpoints: Path, tmp_path: Path) -> None:
    """Neither labels nor pixels can be found out: exit code 2, and what to give."""
    source = checkpoints / "best_cnn_model.keras"
    nameless = cli("export", source, "-o", tmp_path / "m.onnx")
    assert nameless.code == 2
    assert "--labels" in nameless.err
    scaleless = cli("export", source, "--labels", ",".join("abcdefghij"), "-o", tmp_path / "m.onnx")
    assert scaleless.code == 2
    assert "--scale unit" in scaleless.err
    assert "--data" in scaleless.err
    assert not (tmp_path / "m.onnx").exists()


def test_data_of_other_classes(cli: RunCli, tmp_path: Path) -> None:
    """Data of other classes is refused; other names for the same classes need --labels."""
    run = tmp_path / "run"
    assert cli("train", "wardrobe", "--model", "logreg", "--set", "max_iter=2", "-o", run).is_written
    wardrobe = datasets.load("wardrobe")
    digits = {"class_names": np.array([str(n) for n in range(10)])}
    for part in ("train", "test"):
        split = getattr(wardrobe, part)
        digits |= {f"x_{part}": split.images, f"y_{part}": split.labels}
    np.savez(tmp_path / "digits.npz", **digits)
    line = ("export", run, "--data", tmp_path / "digits.npz", "-o", tmp_path / "m.onnx")
    refused = cli(*line)
    assert refused.code == 2
    assert "has the classes 0, 1, 2" in refused.err
    assert cli(*line, "--labels", "a,b,c,d,e,f,g,h,i,j").code == 0
    assert Classifier.load(tmp_path / "m.onnx").passport.labels == tuple("abcdefghij")


def test_a_translation_of_ones_own(cli: RunCli, tmp_path: Path) -> None:
    """--translation takes a list or a file; one that does not fit is a sentence."""
    run = tmp_path / "run"
    assert cli("train", "wardrobe", "--model", "logreg", "--set", "max_iter=2", "-o", run).is_written
    (tmp_path / "german.txt").write_text("\n".join(f"Kleid {n}" for n in range(10)), encoding="utf-8")
    line = ("export", run, "-o", tmp_path / "m.onnx", "--translation")
    assert cli(*line, f"de={tmp_path / 'german.txt'}").is_written
    passport = Classifier.load(tmp_path / "m.onnx").passport
    assert [translation.language for translation in passport.translations] == ["ko", "de"]
    assert passport.in_language("de").labels[9] == "Kleid 9"
    for wrong, said in (("de", "expected LANG="), ("de=a,b", "2 labels in de for 10")):
        refused = cli(*line, wrong)
        assert refused.code == 2
        assert said in refused.err
