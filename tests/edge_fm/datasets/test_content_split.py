"""The split of a folder by content, near duplicates, and what stays when the folder grows."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import Dataset, Split, near_duplicates
from edge_fm.datasets.content_split import choose_test_part
from edge_fm.datasets.folder import PictureFolder
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import as_uint8, cv2
from tests.edge_fm.datasets.folders import CLASSES, scene, write_classes
from tests.pictures import encoded


def digests_of(numbers: range) -> list[bytes]:
    """Return the digest of each number."""
    return [hashlib.sha256(str(number).encode()).digest() for number in numbers]


def held_out(opened: PictureFolder) -> set[bytes]:
    """Return the bytes of the test pictures."""
    return {file.read_bytes() for file in opened.test.files}


def test_about_a_fifth_is_held_out() -> None:
    """A fifth of 10,000 single pictures is in the test part, within four standard deviations."""
    count = 10_000
    chosen = choose_test_part(np.zeros(count, np.int64), np.arange(count), digests_of(range(count)), 0.2)
    assert abs(int(chosen.sum()) - 2000) < 4 * 40


@pytest.mark.parametrize("size", [3, 10])
def test_a_fifth_of_the_groups_is_held_out(size: int) -> None:
    """The size of a group makes it no likelier to be tested, and no group is divided."""
    count = 1000 * size
    groups = np.arange(count) // size
    chosen = choose_test_part(np.zeros(count, np.int64), groups, digests_of(range(count)), 0.2)
    each = chosen.reshape(-1, size)
    assert (each.all(axis=1) == each.any(axis=1)).all()
    assert abs(int(each[:, 0].sum()) - 200) < 4 * 13


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_each_class_is_on_both_sides(count: int) -> None:
    """In small classes at least one picture is tested, and at most half of them."""
    for start in range(0, 300 * count, count):
        digests = digests_of(range(start, start + count))
        chosen = choose_test_part(np.zeros(count, np.int64), np.arange(count), digests, 0.2)
        assert 1 <= chosen.sum() <= count // 2


def test_a_class_of_one_picture_is_trained_on() -> None:
    """A single picture, and a group with more than half of its class, are not tested."""
    labels = np.array([0, 1, 1, 1, 1])
    for start in range(0, 100, 5):
        chosen = choose_test_part(labels, np.array([0, 1, 1, 1, 2]), digests_of(range(start, start + 5)), 0.2)
        assert chosen.tolist() == [False, False, False, False, True]


def test_the_split_stays_when_a_folder_grows(tmp_path: Path) -> None:
    """No picture changes sides when others are added, removed, renamed or moved."""
    folder = write_classes(tmp_path / "pets", 30)
    before = PictureFolder.open(folder)
    write_classes(folder, 25, first=30)
    grown = PictureFolder.open(folder)
    trained, kept = {file.read_bytes() for file in before.train.files}, held_out(grown)
    assert held_out(before) <= kept
    assert kept.isdisjoint(trained)
    for name in CLASSES:
        for file in sorted((folder / name).glob("*"))[::2]:
            file.rename(file.with_name(f"renamed{file.name}"))
    shutil.move(folder, tmp_path / "moved")
    assert held_out(PictureFolder.open(tmp_path / "moved")) == kept
    for file in sorted((tmp_path / "moved").rglob("*.png"))[::3]:
        file.unlink()
    assert held_out(PictureFolder.open(tmp_path / "moved")) <= kept


def variants(image: NDArray[np.uint8]) -> dict[str, bytes]:
    """Return the same scene as other files."""
    lighter = as_uint8(np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8))
    return {
        "quality.jpg": cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1].tobytes(),
        "smaller.png": encoded(cv2.resize(image, (66, 66), interpolation=cv2.INTER_AREA), ".png"),
        "lighter.png": encoded(lighter, ".png"),
    }


def test_near_duplicates_are_on_one_side(tmp_path: Path) -> None:
    """Other encodings, sizes and exposures of a scene are in the part of the scene, and are counted."""
    folder = write_classes(tmp_path / "pets", 12)
    for number in range(6):
        for name, data in variants(scene(number)).items():
            (folder / "cat" / f"of{number}_{name}").write_bytes(data)
    opened = PictureFolder.open(folder)
    assert opened.near_duplicates == 6 * 4
    assert opened.test_in_training == 0
    for number in range(6):
        names = {f"{10 * number}.png", *(f"of{number}_{name}" for name in variants(scene(0)))}
        in_test = names & {file.name for file in opened.test.files if file.parent.name == "cat"}
        assert in_test in (set(), names)


def shifted(number: int) -> NDArray[np.uint8]:
    """Return a scene a little further left: a camera that moves."""
    return scene(5, 240)[:160, 9 * number : 160 + 9 * number]


def grouped(images: list[NDArray[np.uint8]], names: list[str], *, large: bool = True) -> int:
    """Return the number of groups of images with these names."""
    greys = [cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (16, 16)).reshape(-1) for image in images]
    paths = [Path(name) for name in names]
    return len(set(near_duplicates.group(np.array(greys), np.full(len(greys), large), paths).tolist()))


def test_a_burst_is_one_group() -> None:
    """Numbered neighbours that look alike belong together; without the numbers, and for small ones, not."""
    images = [shifted(number) for number in range(5)]
    assert grouped(images, [f"IMG_{1000 + number}.jpg" for number in range(5)]) == 1
    assert grouped(images, [f"IMG_{1000 + 10 * number}.jpg" for number in range(5)]) > 1
    assert grouped(images, [f"IMG_{1000 + number}.jpg" for number in range(5)], large=False) > 1


def test_neighbours_that_differ_are_no_burst() -> None:
    """Consecutive numbers alone make no group, and flat pictures are not compared."""
    images = [scene(number) for number in range(20)]
    assert grouped(images, [f"IMG_{number}.jpg" for number in range(20)]) == 20
    flat = [np.full((80, 80, 3), number, np.uint8) for number in range(20)]
    assert grouped(flat, [f"IMG_{number}.jpg" for number in range(20)]) == 20


def test_groups_do_not_depend_on_the_order() -> None:
    """Chains over several blocks are found, whatever the order of the pictures."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (700, 256))
    greys = np.concatenate([base, base + 3, base + rng.integers(0, 3, base.shape)]).astype(np.uint8)
    truth = np.tile(np.arange(700), 3)
    order = rng.permutation(len(greys))
    found = near_duplicates.group(greys[order], np.ones(len(order), bool), [Path("a")] * len(order))
    pairs = np.unique(np.stack([found, truth[order]]), axis=1)
    assert pairs.shape[1] == len(np.unique(found)) == 700


def test_a_class_of_one_scene_is_divided_and_counted(tmp_path: Path) -> None:
    """A class whose pictures all look alike gets some in both parts, and its test pictures are counted."""
    folder = write_classes(tmp_path / "pets", 10, names=("cat",))
    (folder / "dog").mkdir()
    for number in range(20):
        noisy = scene(7).astype(int) + np.random.default_rng(number).integers(0, 4, (80, 80, 3))
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
        (folder / "dog" / f"{number}.png").write_bytes(encoded(picture, ".png"))
    opened = PictureFolder.open(folder)
    dogs = sum(file.parent.name == "dog" for file in opened.test.files)
    assert dogs >= 1
    assert opened.test_in_training == dogs
    assert opened.near_duplicates == 20


def grouped_dataset() -> Dataset:
    """Return a data set whose training part has three classes in groups of one to five images."""
    groups = np.repeat(np.arange(60), np.tile([1, 2, 3, 4, 5], 12))
    images = np.zeros((len(groups), 1, 1, 1), np.uint8)
    part = Split(images, groups // 20, groups)
    return Dataset("grouped", ("a", "b", "c"), part, part.take(np.arange(3)), "")


def test_validation_keeps_groups_together() -> None:
    """A group is in training or in validation, each class gives about its share, and a seed repeats it."""
    dataset = grouped_dataset()
    for seed in range(10):
        training, validation = dataset.split_validation(0.25, seed)
        assert training.groups is not None
        assert validation.groups is not None
        assert set(training.groups.tolist()).isdisjoint(validation.groups.tolist())
        assert len(training) + len(validation) == len(dataset.train)
        assert all(11 <= count <= 15 for count in np.bincount(validation.labels))


def test_folds_keep_groups_together() -> None:
    """Each group is in one fold, and the folds are of about one size in each class."""
    dataset = grouped_dataset()
    parts = [fold for _, fold in dataset.folds(4, seed=0)]
    seen = [set(fold.groups.tolist()) for fold in parts if fold.groups is not None]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 60
    assert all(14 <= count <= 16 for fold in parts for count in np.bincount(fold.labels))
    with pytest.raises(DataError, match="20 different images of a, too few for 21 folds"):
        next(dataset.folds(21, seed=0))


def test_groups_of_one_are_split_as_without_groups() -> None:
    """Images that are all different give the same validation part and folds as images without groups."""
    plain = datasets.limited(datasets.load("wardrobe"), 300, 10)
    train = Split(plain.train.images, plain.train.labels, np.arange(300))
    single = Dataset(plain.name, plain.class_names, train, plain.test, "")
    np.testing.assert_array_equal(
        single.split_validation(0.2, 3)[1].images, plain.split_validation(0.2, 3)[1].images
    )
    for (_, fold), (_, other) in zip(single.folds(3, 1), plain.folds(3, 1), strict=True):
        np.testing.assert_array_equal(fold.images, other.images)
