"""Data sets: names, folders, archives, and the drawn wardrobe."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets import wardrobe
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity, Preprocess
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image import preprocess
from tests.pictures import encoded


def test_the_wardrobe_is_deterministic_and_varied() -> None:
    """The same seed draws the same garments, another seed others, and no two alike."""
    images, labels = wardrobe.draw_set(per_class=5, seed=3)
    again, _ = wardrobe.draw_set(per_class=5, seed=3)
    other, _ = wardrobe.draw_set(per_class=5, seed=4)
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images, other)
    assert len({image.tobytes() for image in images}) == 50
    assert np.bincount(labels).tolist() == [5] * 10


def test_the_wardrobe_needs_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads without files or a network, and its two parts are disjoint."""
    monkeypatch.delenv("EDGE_FM_DATA", raising=False)
    dataset = datasets.load("wardrobe")
    assert (len(dataset.train), len(dataset.test)) == (2000, 1000)
    train = {image.tobytes() for image in dataset.train.images}
    assert train.isdisjoint(image.tobytes() for image in dataset.test.images)


def test_the_wardrobe_is_cached_read_only() -> None:
    """A second load returns the same arrays at once, so they are read-only."""
    first, again = datasets.load("wardrobe"), datasets.load("wardrobe")
    assert again.train.images is first.train.images
    for part in (first.train, first.test):
        for array in (part.images, part.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_validation_is_stratified_and_disjoint() -> None:
    """Each class gives its share, no image is in both parts, and the test part is unchanged."""
    dataset = datasets.load("wardrobe")
    training, validation = dataset.split_validation(0.1, seed=0)
    assert np.bincount(validation.labels).tolist() == [20] * 10
    assert len(training) + len(validation) == len(dataset.train)
    kept = {image.tobytes() for image in training.images}
    assert kept.isdisjoint(image.tobytes() for image in validation.images)
    np.testing.assert_array_equal(dataset.split_validation(0.1, seed=0)[1].images, validation.images)


def folder_of_photographs(path: Path) -> Path:
    """Make a folder with two classes of odd-sized photographs and one bad file."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for index in range(5):
            picture = rng.integers(0, 256, (200 + 10 * index, 300, 3), np.uint8)
            (path / name / f"{index}.jpg").write_bytes(encoded(picture, ".jpg"))
    (path / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (path / ".git").mkdir()
    return path


@pytest.mark.parametrize("spec", [InputSpec(28, 28, 1), InputSpec(64, 48, 3)])
def test_a_photograph_is_the_same_in_training_and_at_run_time(tmp_path: Path, spec: InputSpec) -> None:
    """A folder's training tensors equal the runtime's, byte for byte."""
    folder = folder_of_photographs(tmp_path / "pets")
    dataset = datasets.load(str(folder), spec)
    trained = {image.tobytes() for split in (dataset.train, dataset.test) for image in split.images}
    served = {
        preprocess.tensor_from_bytes(path.read_bytes(), spec, Preprocess()).tobytes()
        for path in folder.rglob("[0-9].jpg")
    }
    assert trained == served
    assert len(served) == 10


def test_a_folder_becomes_a_data_set(tmp_path: Path) -> None:
    """Classes are the sub-folders' names; an unreadable file is skipped and named."""
    dataset = datasets.load(str(folder_of_photographs(tmp_path / "pets")))
    assert dataset.class_names == ("cat", "dog")
    assert np.bincount(dataset.train.labels).tolist() == [4, 4]
    assert np.bincount(dataset.test.labels).tolist() == [1, 1]
    assert len(dataset.unreadable) == 1
    assert "broken.jpg" in dataset.unreadable[0][0]


def test_folders_that_are_not_data_sets_are_refused(tmp_path: Path) -> None:
    """A single class, or a class without images, is refused by name."""
    (tmp_path / "only").mkdir()
    with pytest.raises(DataError, match="at least two classes"):
        datasets.load(str(tmp_path))
    folder = folder_of_photographs(tmp_path / "pets")
    (folder / "bird").mkdir()
    with pytest.raises(DataError, match="bird"):
        datasets.load(str(folder))


def test_an_npz_file_becomes_a_data_set(tmp_path: Path) -> None:
    """Arrays load with or without a channel axis, with or without class names."""
    images, labels = wardrobe.draw_set(per_class=2, seed=0)
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=images[..., 0], y_train=labels, x_test=images, y_test=labels)
    dataset = datasets.load(str(path))
    assert dataset.train.images.shape == (20, 28, 28, 1)
    assert dataset.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x_train": np.zeros((2, 28, 28), np.uint8)}, "lacks y_train"),
        ({"x_train": np.zeros((2, 28, 28), np.float32)}, "float32"),
        ({"y_train": np.array([-1, 0])}, "below 0"),
        ({"y_train": np.array([0])}, "1 labels for 2 images"),
        ({"class_names": np.array(["one"])}, "names 1 classes"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)}, "at least one"),
        ({"x_train": np.array([object()], dtype=object)}, "cannot be read"),
    ],
)
def test_broken_npz_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    """The message names the fault, and pickles are never loaded."""
    path = tmp_path / "mine.npz"
    whole = {name: np.zeros((2, 28, 28), np.uint8) for name in ("x_train", "x_test")}
    whole |= {name: np.array([0, 1]) for name in ("y_train", "y_test")}
    if "lacks" in says:
        del whole["y_train"]
    np.savez(path, **{**whole, **arrays})
    with pytest.raises(DataError, match=says):
        datasets.load(str(path))


def write_idx(folder: Path) -> None:
    """Write a data set of two images as idx files."""
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 2051, 2, 28, 28) + bytes(2 * 784)
        labels = struct.pack(">II", 2049, 2) + bytes([3, 9])
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_idx_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The official files in $EDGE_FM_DATA/<name>/ are read without Keras."""
    write_idx(tmp_path / name)
    monkeypatch.setenv("EDGE_FM_DATA", str(tmp_path))
    dataset = datasets.load(name)
    assert dataset.train.images.shape == (2, 28, 28, 1)
    assert dataset.test.labels.tolist() == [3, 9]
    assert len(dataset.class_names) == 10


@pytest.mark.parametrize(
    "damage",
    [b"", b"no gzip", gzip.compress(b"abc"), gzip.compress(struct.pack(">II", 2049, 5))],
    ids=["empty", "no gzip", "no header", "no pixels"],
)
def test_damaged_idx_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    """The message names a damaged or swapped idx file."""
    write_idx(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(damage)
    monkeypatch.setenv("EDGE_FM_DATA", str(tmp_path))
    with pytest.raises(DataError, match="train-images"):
        datasets.load("mnist")


@pytest.mark.real_data
def test_the_real_files_have_their_official_sizes() -> None:
    """Fashion-MNIST and MNIST have their official sizes and class counts."""
    for name in ("fashion-mnist", "mnist"):
        dataset = datasets.load(name)
        assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    assert np.bincount(datasets.load("fashion-mnist").test.labels).tolist() == [1000] * 10


def test_an_unknown_name_lists_the_known() -> None:
    """The message lists the built-in data sets."""
    with pytest.raises(DataError, match="fashion-mnist, mnist, wardrobe"):
        datasets.load("fashion")


@pytest.mark.parametrize("fit", list(Fit))
def test_a_folder_is_decoded_by_the_given_preprocessing(tmp_path: Path, fit: Fit) -> None:
    """The images of a folder are the runtime's for any fit and polarity."""
    folder, spec = folder_of_photographs(tmp_path / "pets"), InputSpec(24, 24, 3)
    recipe = Preprocess(fit=fit, polarity=Polarity.INVERT)
    dataset = datasets.load(str(folder), spec, recipe)
    loaded = {image.tobytes() for split in (dataset.train, dataset.test) for image in split.images}
    served = {
        preprocess.tensor_from_bytes(path.read_bytes(), spec, recipe).tobytes()
        for path in folder.rglob("[0-9].jpg")
    }
    assert loaded == served


def test_arrays_are_inverted() -> None:
    """Images that have a size of their own are inverted where the preprocessing says so."""
    plain, inverted = (
        datasets.load("wardrobe"),
        datasets.load("wardrobe", None, Preprocess(polarity=Polarity.INVERT)),
    )
    for part in ("train", "test"):
        np.testing.assert_array_equal(255 - getattr(plain, part).images, getattr(inverted, part).images)


def test_a_large_folder_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is read where it suffices, disjoint by part, and said in words."""
    monkeypatch.setattr("edge_fm.datasets.folder._SAMPLE_BYTES", 3 * 16 * 16)
    monkeypatch.setattr("edge_fm.datasets.folder._LEAST_SAMPLE", 1)
    opened = datasets.open_data(str(folder_of_photographs(tmp_path / "pets")), InputSpec(16, 16, 1))
    whole, part = opened.load(), opened.load(sampled=True)
    assert (len(part.train), len(part.test)) == (3, 2)
    assert part.sampled == "3 of 8 training pictures and 2 of 2 test pictures"
    assert whole.sampled == ""
    known = {image.tobytes() for image in whole.train.images}
    assert all(image.tobytes() in known for image in part.train.images)


def test_the_training_sample_is_the_same_for_every_fit(tmp_path: Path) -> None:
    """Trials of fits see the same pictures with the same labels, as many as asked for."""
    opened = datasets.open_data(str(folder_of_photographs(tmp_path / "pets")), InputSpec(16, 16, 1))
    samples = [opened.training_sample(fit, 5) for fit in Fit]
    assert [len(sample) for sample in samples] == [5, 5, 5]
    assert all(np.array_equal(sample.labels, samples[0].labels) for sample in samples)
    assert not np.array_equal(samples[0].images, samples[1].images)


def test_classes_are_put_in_the_order_of_the_model(tmp_path: Path) -> None:
    """The same classes in another order are reordered by name, in arrays and folders; others are left."""
    opened = datasets.open_data("wardrobe")
    names = opened.class_names
    turned = opened.with_classes(names[::-1]).load()
    assert turned.class_names == names[::-1]
    np.testing.assert_array_equal(turned.test.labels, 9 - opened.load().test.labels)
    assert opened.with_classes(("a", "b")) is opened
    folder = datasets.open_data(str(folder_of_photographs(tmp_path / "pets")))
    dogs_first = folder.with_classes(("dog", "cat")).load()
    np.testing.assert_array_equal(dogs_first.train.labels, 1 - folder.load().train.labels)
    np.testing.assert_array_equal(dogs_first.train.images, folder.load().train.images)
