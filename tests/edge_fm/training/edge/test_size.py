"""`train --size`: enlarged data sets, and networks of the edge family with larger inputs."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.augmentation import transforms
from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import Dataset
from edge_fm.models import edge
from edge_fm.training.edge import distillation
from edge_fm.training.edge.warm_start import warm_start
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.parity import as_png
from edge_fm_exporters.quantization import search
from edge_fm_exporters.quantization.static import Calibration
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image import preprocess
from tests.conftest import RunCli
from tests.edge_fm.pictures import write_recipe

SPEC, FINER = InputSpec(28, 28, 1), InputSpec(56, 56, 1)


@pytest.fixture(scope="module")
def finer() -> Dataset:
    """Return a part of the drawn garments, enlarged."""
    return datasets.limited(datasets.load("wardrobe", FINER), 300, 200)


def test_a_data_set_is_enlarged_as_the_runtime_does_it() -> None:
    """A data set's picture, enlarged for training, is byte for byte what a device makes of its file."""
    small, large = datasets.load("wardrobe"), datasets.load("wardrobe", FINER)
    assert large.spec == FINER
    for index in range(0, len(small.test), 100):
        seen = preprocess.tensor_from_bytes(
            as_png(small.test.images[index], Preprocess()), FINER, Preprocess()
        )
        np.testing.assert_array_equal(large.test.images[index], seen)
    np.testing.assert_array_equal(small.test.labels, large.test.labels)


@pytest.mark.parametrize(
    "spec", [None, SPEC, InputSpec(32, 32, 1), InputSpec(56, 28, 1), InputSpec(56, 56, 3)]
)
def test_what_is_no_multiple_is_left_alone(spec: InputSpec | None, tmp_path: Path) -> None:
    """Images whose size is no whole multiple on both axes, or with other channels, stay as they are."""
    assert datasets.load("wardrobe", spec).spec == SPEC
    images, labels = np.arange(20 * 14 * 14, dtype=np.uint8).reshape(20, 14, 14, 1), np.arange(20) % 2
    parts = {"x_train": images, "y_train": labels, "x_test": images[:4], "y_test": labels[:4]}
    np.savez(tmp_path / "small.npz", **parts)
    assert datasets.load(str(tmp_path / "small.npz")).spec == InputSpec(14, 14, 1)


def test_shrinking_undoes_a_repetition() -> None:
    """Images with repeated pixels shrink to the originals; other sizes stay as they are."""
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), np.uint8)
    repeated = images.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(datasets.resized(repeated, InputSpec(28, 28, 3)), images)
    np.testing.assert_array_equal(datasets.resized(repeated, InputSpec(40, 40, 3)), repeated)


def test_pictures_are_varied_as_far_at_any_size() -> None:
    """The same draw moves, tilts and mirrors a picture of twice the size by twice as many pixels."""
    small = np.zeros((28, 28), np.uint8)
    small[8:20, 11:15] = 255
    large = small.repeat(2, axis=0).repeat(2, axis=1)

    def middle(picture: transforms.Grey) -> np.ndarray:
        places = np.indices(picture.shape).reshape(2, -1) + 0.5
        return np.asarray(places @ picture.ravel() / picture.sum())

    varied = Variation(erase=0)
    for seed in range(50):
        moved, far = (
            transforms.product_view(picture, varied, np.random.default_rng(seed))
            for picture in (small, large)
        )
        np.testing.assert_allclose(middle(far) / 2, middle(moved), atol=0.3)


@pytest.mark.slow
@pytest.mark.train
def test_a_finer_network_begins_where_the_coarse_one_was(finer: Dataset) -> None:
    """A 56x56 network with a bundled file's weights answers enlarged images as the file does."""
    keras = import_keras()
    keras.utils.set_random_seed(1)
    model = edge.build(edge.WIDTHS["edge-nano"], FINER, 10, "edge-nano")
    coarse = edge.build(edge.WIDTHS["edge-nano"], SPEC, 10, "edge-nano")
    stem = edge.WIDTHS["edge-nano"].stem
    assert model.count_params() == coarse.count_params() + 3 * 9 * stem
    assert [layer.output.shape for layer in model.layers[1:]] == [
        layer.output.shape for layer in coarse.layers[1:]
    ]
    images = datasets.load("wardrobe").test.images[::5]
    repeated = images.repeat(2, axis=1).repeat(2, axis=2)
    warm_start(model, Path("fashion-nano"), Path("no-folder"), finer.class_names, repeated)
    warm_start(coarse, Path("fashion-nano"), Path("no-folder"), finer.class_names, images)
    own, theirs = (
        np.asarray(network(pictures.astype(np.float32) / 255))
        for network, pictures in ((model, repeated), (coarse, images))
    )
    np.testing.assert_allclose(own, theirs, atol=1e-4)
    assert (
        np.mean(own.argmax(axis=1) == Classifier.load("fashion-nano").probabilities(images).argmax(axis=1))
        > 0.95
    )


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_teacher_of_another_size_gets_the_same_views(times: int) -> None:
    """A teacher answers for a view of another size as it does for that view brought to its own."""
    dataset = datasets.limited(datasets.load("wardrobe", InputSpec(28 * times, 28 * times, 1)), 20, 20)
    teacher = distillation.open_teacher("fashion-nano", "wardrobe", dataset)
    classifier, images = Classifier.load("fashion-nano"), dataset.test.images
    theirs = datasets.resized(images, classifier.passport.input)
    assert theirs.shape[1:] == classifier.passport.input.shape
    np.testing.assert_array_equal(teacher.probabilities(images), classifier.probabilities(theirs))


@pytest.mark.train
@pytest.mark.slow
def test_from_a_size_to_a_labelled_folder(
    cli: RunCli, finer: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 56x56 network is trained from a bundled one, warm started, exported, measured and used."""
    whole = datasets.load
    monkeypatch.setattr(
        datasets, "load", lambda data, spec=None, **_: datasets.limited(whole(data, spec), 100, 100)
    )
    monkeypatch.setattr(search, "Calibration", [Calibration.MINMAX])
    tables = '[distillation]\nteachers = ["fashion"]'
    recipe = write_recipe(tmp_path, tables)
    recipe.write_text("size = 56\n" + recipe.read_text())
    first = cli("train", recipe, "--epochs", 1, "--set", "init_from=fashion-nano", "-o", tmp_path / "first")
    assert first.is_written, first.err
    again = cli(
        *("train", "wardrobe", "--model", "edge-nano", "--size", 56, "--epochs", 1),
        *("--set", f"init_from={tmp_path / 'first'}", "-o", tmp_path / "again"),
    )
    assert again.is_written, again.err
    file = tmp_path / "finer.onnx"
    made = cli(
        "export",
        tmp_path / "again",
        "--int8",
        "--tta",
        "flip",
        "--min-speedup",
        0,
        "--max-drop",
        1,
        "--max-class-drop",
        1,
        "-o",
        file,
    )
    assert made.is_written, made.err
    assert Classifier.load(str(file)).passport.input == FINER
    for start in (file, tmp_path / "again"):
        coarse = cli(
            "train",
            "wardrobe",
            "--model",
            "edge-nano",
            "--set",
            f"init_from={start}",
            "-o",
            tmp_path / "coarse",
        )
        assert coarse.code == 2
        assert "--size 56" in coarse.err
    measured = cli("evaluate", file, "--data", "wardrobe")
    assert measured.code == 0, measured.err
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(5):
        (folder / f"{index}.png").write_bytes(as_png(finer.test.images[index], Preprocess()))
    labelled = cli("label", folder, "--model", file, "-o", tmp_path / "labels.csv")
    assert labelled.code == 0, labelled.err
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 6


def test_a_size_that_a_data_set_cannot_have(cli: RunCli, tmp_path: Path) -> None:
    """A data set of 28x28 is enlarged to a whole multiple only, and the message names one."""
    refused = cli("train", "wardrobe", "--model", "edge-nano", "--size", 40, "-o", tmp_path / "run")
    assert refused.code == 2
    assert "such as 56" in refused.err
    assert not (tmp_path / "run").exists()
