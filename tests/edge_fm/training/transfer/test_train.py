"""Transfer models from a folder of pictures to a file, bundled and whole."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm.datasets import wardrobe
from edge_fm.models import runs
from edge_fm.models.runs import Run
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli
from tests.edge_fm.models.test_efficientnet_lite import needs_weights

CLASSES = {"bags": 8, "boots": 9, "trousers": 1}
"""Garment drawn for each class, by the name of its folder."""

PER_CLASS = 10


def _drawing(garment: int, seed: int) -> NDArray[np.uint8]:
    """Return a drawn garment in a colour of its own."""
    rng = np.random.default_rng(seed)
    grey = wardrobe.draw(garment, rng, 96)
    return np.asarray(grey[..., np.newaxis] * rng.uniform(0.4, 1, 3), np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of drawn garments, ten of each class, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    for name, garment in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            cv2.imwrite(str(folder / name / f"{number}.png"), _drawing(garment, 100 * garment + number))
    (folder / "bags" / "notes.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep features in the folder of the test; fit decode margins on few images."""
    from edge_fm.training.transfer import train
    from edge_fm_exporters.decision import reduced_decoding

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(reduced_decoding, "_MOST", 16)
    monkeypatch.setattr(reduced_decoding, "_DRAWN", 2**20)
    monkeypatch.setattr(train, "_UNKNOWN", 40)
    return tmp_path / "cache"


def test_a_folder_becomes_a_finished_file(cli: RunCli, pictures: Path, tmp_path: Path) -> None:
    """The file has passport, evidence, golden inputs and thresholds, and labels pictures."""
    run = tmp_path / "run"
    done = cli("train", pictures, "--model", "transfer-small", "-o", run)
    assert (done.code, "notes.jpg" in done.err) == (0, True), done.err
    assert f"edge-fm label FOLDER --model {run / 'model.onnx'}" in done.out
    passport = Classifier.load(run / "model.onnx").passport
    assert passport.labels == tuple(CLASSES)
    assert passport.precision.kind == "int8"
    assert len(passport.golden) == 8
    assert passport.decision.unknown_below > 0
    assert len(passport.decision.known_class_weights) == 1 + len(CLASSES)
    (evidence,) = passport.evidence
    assert (evidence.split, evidence.label_agreement) == ("test", 1.0)
    assert evidence.images >= len(CLASSES)
    assert evidence.accuracy == Run.load(run).test_accuracy >= 0.75
    assert cli("verify", run / "model.onnx").code == 0
    assert (run / "model.onnx").stat().st_size < 900_000
    labelled = cli("label", pictures / "boots", "--model", run / "model.onnx", "-o", tmp_path / "labels.csv")
    assert labelled.code == 0
    assert (tmp_path / "labels.csv").read_text().count("boots,") >= PER_CLASS - 2


def test_other_commands_take_its_run(cli: RunCli, pictures: Path, tmp_path: Path) -> None:
    """The finished file is copied by export, which refuses to change it, and measured by evaluate."""
    run, out = tmp_path / "run", tmp_path / "mine.onnx"
    assert cli("train", pictures, "--model", "transfer-small", "-o", run).code == 0
    assert cli("export", run, "--int8", "-o", out).code == 0
    assert out.read_bytes() == (run / "model.onnx").read_bytes()
    refused = cli("export", run, "--int8", "--fit", "crop", "-o", tmp_path / "other.onnx")
    assert (refused.code, "--fit cannot change it" in refused.err) == (2, True)
    assert not (tmp_path / "other.onnx").exists()
    assert cli("evaluate", run, "--data", pictures).code == 0


def test_features_are_computed_once(
    cli: RunCli, pictures: Path, tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second training computes no features, and gives the same head."""
    from edge_fm.training.transfer import features

    first, second = tmp_path / "first", tmp_path / "second"
    assert cli("train", pictures, "--model", "transfer-small", "-o", first).code == 0
    assert len(list(cache_home.rglob("*"))) > 2 * PER_CLASS

    class Idle:
        """A session that is never run."""

        def __init__(self, data: bytes) -> None:
            self._session = session(data)

        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            """Answer for the golden inputs alone, which are no pictures of the folder."""
            assert len(images) == 8
            return self._session.run(images)

    session = OnnxSession
    monkeypatch.setattr(features, "OnnxSession", Idle)
    monkeypatch.setattr(features, "_BATCH", 3)
    assert cli("train", pictures, "--model", "transfer-small", "-o", second).code == 0
    one, other = (Run.load(run) for run in (first, second))
    assert (one.scores, one.options) == (other.scores, other.options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "224"], "--model transfer"),
        (["--epochs", "3"], "takes no --epochs"),
        (["--set", "dropout=0.5"], "takes no --set"),
    ],
)
def test_what_it_does_not_take_is_refused(
    options: list[str], message: str, cli: RunCli, pictures: Path, tmp_path: Path
) -> None:
    """A size, an option and a setting that the model does not have are refused before anything is made."""
    refused = cli("train", pictures, "--model", "transfer-small", "-o", tmp_path / "run", *options)
    assert (refused.code, message in refused.err) == (2, True), refused.err
    assert not (tmp_path / "run").exists()


def test_data_of_another_size_are_refused(cli: RunCli, tmp_path: Path) -> None:
    """A named data set, whose images are small and grey, is refused with both shapes."""
    refused = cli("train", "wardrobe", "--model", "transfer-small", "-o", tmp_path / "run")
    assert (refused.code, "(28, 28, 1)" in refused.err, "(128, 128, 3)" in refused.err) == (2, True, True)
    assert not (tmp_path / "run").exists()


def test_a_class_without_a_readable_picture_is_refused(cli: RunCli, pictures: Path, tmp_path: Path) -> None:
    """A class whose pictures have a good header and no image behind it is named."""
    folder, png = tmp_path / "mine", (pictures / "bags" / "0.png").read_bytes()
    for name in ("bags", "boots"):
        shutil.copytree(pictures / name, folder / name)
    (folder / "torn").mkdir()
    for number in range(3):
        (folder / "torn" / f"{number}.png").write_bytes(png[:60])
    refused = cli("train", folder, "--model", "transfer-small", "-o", tmp_path / "run")
    assert (refused.code, "torn" in refused.err) == (2, True), refused.err
    assert not (tmp_path / "run").exists()


def test_it_trains_without_the_libraries_of_the_train_extra(pictures: Path, tmp_path: Path) -> None:
    """With scikit-learn, and without TensorFlow, Keras, onnx and the like, the file is finished."""
    run = tmp_path / "run"
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf_keras', 'onnx', 'onnxslim', 'tf2onnx', 'skl2onnx', 'skops', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['edge-fm', 'train', {str(pictures)!r}, '--model', 'transfer-small', '-o', {str(run)!r}]\n"
        "from edge_fm.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert runs.is_finished(run / "model.onnx")


def test_without_scikit_learn_there_is_a_remedy(
    cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without scikit-learn, the message says how to install it, before any work."""
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    refused = cli("train", pictures, "--model", "transfer-small", "-o", tmp_path / "run")
    assert (refused.code, "pip install scikit-learn" in refused.err) == (2, True)
    assert not (tmp_path / "run").exists()


@needs_weights
@pytest.mark.train
@pytest.mark.slow
def test_the_whole_network_is_exported_from_its_run(cli: RunCli, pictures: Path, tmp_path: Path) -> None:
    """A run of transfer is exported as any other, with the decision of its out-of-fold probabilities."""
    run, out = tmp_path / "run", tmp_path / "mine.onnx"
    assert cli("train", pictures, "--model", "transfer", "--size", "64", "-o", run).code == 0
    exported = cli("export", run, "-o", out)
    assert exported.code == 0, exported.err
    passport = Classifier.load(out).passport
    assert passport.labels == tuple(CLASSES)
    assert passport.input.shape == (64, 64, 3)
    assert passport.evidence[0].accuracy == Run.load(run).test_accuracy
    assert len(passport.decision.known_class_weights) == 1 + len(CLASSES)
