"""Folders as people have them: parts, hidden folders and files that are left out."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets.folder import PictureFolder
from edge_fm_runtime.errors import DataError
from tests.edge_fm.datasets.folders import scene, write_classes, write_picture
from tests.pictures import encoded


def in_parts(folder: Path, *names: str) -> PictureFolder:
    """Write three pictures of each class into each part, no two alike, and open the folder."""
    for number, name in enumerate(names):
        write_classes(folder / name, 3, first=10 * number)
    return PictureFolder.open(folder)


def parents(files: tuple[Path, ...]) -> set[str]:
    """Return the names of the parts that files are in."""
    return {file.parent.parent.name for file in files}


@pytest.mark.parametrize(
    ("names", "trained", "tested"),
    [
        (("train", "test"), {"train"}, "test"),
        (("Training", "TESTING"), {"Training"}, "TESTING"),
        (("train", "val"), {"train"}, "val"),
        (("train", "valid"), {"train"}, "valid"),
        (("train", "validation", "test"), {"train", "validation"}, "test"),
    ],
)
def test_parts_are_understood(tmp_path: Path, names: tuple[str, ...], trained: set[str], tested: str) -> None:
    """Training, validation and test folders, in any case, become the parts that they say."""
    folder = in_parts(tmp_path / "pets", *names)
    assert folder.class_names == ("cat", "dog")
    assert parents(folder.train.files) == trained
    assert parents(folder.test.files) == {tested}
    assert len(folder.train.files) + len(folder.test.files) == 6 * len(names)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """A folder of vehicles has buses and trains."""
    folder = PictureFolder.open(write_classes(tmp_path / "vehicles", 5, names=("bus", "train")))
    assert folder.class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (("train/cat", "train/dog", "test/cat"), "has the class dog, which .*test lacks"),
        (
            ("train/cat", "train/dog", "test/cat", "test/dog", "test/cow"),
            "has the class cow, which .*train lacks",
        ),
        (
            ("train/cat", "train/dog", "test/cat", "test/Dog"),
            "has the class Dog, which .*names must be the same",
        ),
        (("train/cat", "train/dog", "test/cat", "test/dog", "more/cat"), "side by side"),
        (("train", "test"), "has no class folders"),
        (("test/cat", "test/dog", "val/cat", "val/dog"), "no train"),
        (("train/cat", "train/dog"), "has only the folder train: give"),
        (("train/cat", "training/cat", "test/cat"), "expected only one of them"),
        (("cat", "dog", "test"), "side by side"),
        (("cat", "dog", "train/cat"), "side by side"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, folders: tuple[str, ...], says: str) -> None:
    """Two classes called train and test never come out; the message has the remedy."""
    for number, name in enumerate(folders):
        write_picture(tmp_path / name / "0.png", number)
    with pytest.raises(DataError, match=says):
        PictureFolder.open(tmp_path)


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    """Folders that start with _ or . are left out, inside a class too; files that start with _ are not."""
    folder = write_classes(tmp_path / "pets", 4)
    for name in ("_review", "__MACOSX", ".thumbnails", "cat/_blurred", "cat/.cache", "dog/2024/_unsure"):
        write_picture(folder / name / "x.png", 777)
    write_picture(folder / "dog" / "2024" / "_DSC01.png", 888)
    opened = PictureFolder.open(folder)
    files = {file.name for file in (*opened.train.files, *opened.test.files)}
    assert opened.class_names == ("cat", "dog")
    assert len(opened.train.files) + len(opened.test.files) == 9
    assert "_DSC01.png" in files
    assert "x.png" not in files


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    """HEIC, damaged, empty and tiny files are passed over, each with its reason."""
    folder = write_classes(tmp_path / "pets", 4)
    whole = encoded(scene(1), ".png")
    bad = {
        "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        "half.png": (whole[: len(whole) // 2], "PNG"),
        "empty.jpg": (b"", "no bytes"),
        "dot.png": (encoded(scene(2)[:7, :7], ".png"), "7 x 7 pixels, expected at least 8"),
        "notes.txt": (b"cats", "no picture of a known format"),
    }
    for name, (data, _) in bad.items():
        (folder / "cat" / name).write_bytes(data)
    reasons = {Path(path).name: reason for path, reason in PictureFolder.open(folder).unreadable}
    assert reasons.keys() == bad.keys()
    for name, (_, says) in bad.items():
        assert says in reasons[name]


def test_copies_are_taken_once(tmp_path: Path) -> None:
    """The first of files with the same bytes is taken; the others are listed with its path."""
    folder = write_classes(tmp_path / "pets", 4)
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "copy.png")
    opened = PictureFolder.open(folder)
    assert len(opened.train.files) + len(opened.test.files) == 8
    assert opened.unreadable == (
        (str(folder / "cat" / "copy.png"), f"duplicate of {folder / 'cat' / '0.png'}"),
    )


def test_a_picture_in_two_classes_is_in_neither(tmp_path: Path) -> None:
    """One of two labels is wrong: both files are listed, each with the path of the other."""
    folder = write_classes(tmp_path / "pets", 4)
    shutil.copy(folder / "cat" / "0.png", folder / "dog" / "copy.png")
    opened = PictureFolder.open(folder)
    assert len(opened.train.files) + len(opened.test.files) == 7
    (first, why), (second, why_too) = opened.unreadable
    assert (first, second) == (str(folder / "cat" / "0.png"), str(folder / "dog" / "copy.png"))
    assert second in why
    assert first in why_too


def test_another_folder_is_the_test_part(tmp_path: Path) -> None:
    """With a test folder all of the data is trained on; copies and near duplicates are counted."""
    data, test = write_classes(tmp_path / "pets", 5), write_classes(tmp_path / "held-out", 3, first=20)
    shutil.copy(data / "cat" / "0.png", test / "cat" / "copied.png")
    brighter = np.clip(scene(1001).astype(int) + 9, 0, 255).astype(np.uint8)
    (test / "dog" / "brighter.png").write_bytes(encoded(brighter, ".png"))
    dataset = datasets.load(str(data), test=test)
    assert (len(dataset.train), len(dataset.test)) == (10, 8)
    assert dataset.test_in_training == 2
    assert dataset.class_counts.tolist() == [[5, 4], [5, 4]]


def test_a_test_folder_inside_the_data_is_no_class(tmp_path: Path) -> None:
    """The folder that is given as the test part is left out of the training part."""
    data = write_classes(tmp_path / "pets", 3)
    held_out = write_classes(data / "held-out", 2, first=20)
    opened = PictureFolder.open(data, held_out)
    assert opened.class_names == ("cat", "dog")
    assert (len(opened.train.files), len(opened.test.files)) == (6, 4)


@pytest.mark.parametrize(
    ("data", "test", "says"),
    [
        ("pets", "pets", "cannot be both"),
        ("pets", "nothing", "is no folder"),
        ("pets", "other", "other has the class cow, which pets lacks"),
        ("wardrobe", "pets", "has a test part of its own"),
    ],
)
def test_unfit_test_folders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, test: str, says: str
) -> None:
    """The data itself, a missing folder, other classes and a data set with a test part are refused."""
    write_classes(tmp_path / "pets", 3)
    write_classes(tmp_path / "other", 3, names=("cat", "cow"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=says):
        datasets.load(data, test=Path(test))


def test_a_whole_folder_is_a_test_part(tmp_path: Path) -> None:
    """Opened whole, every picture is to be scored, one of a class suffices, and copies count."""
    folder = write_classes(tmp_path / "pets", 1)
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "copy.png")
    dataset = datasets.open_whole(str(folder)).load()
    assert (len(dataset.train), len(dataset.test)) == (0, 3)
    wardrobe = datasets.open_whole("wardrobe").load()
    assert len(wardrobe.test) == 3000
