"""Folders and other paths that cannot be trained on, through the command line."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.edge_fm.datasets.folders import scene, write_classes, write_picture
from tests.pictures import encoded

Make = Callable[[Path], object]


def with_class(name: str | bytes, *files: tuple[str, bytes]) -> Make:
    """Return a function that makes a folder of two good classes, and one more with these files."""

    def make(folder: Path) -> None:
        other = write_classes(folder, 3) / os.fsdecode(name)
        other.mkdir()
        for file, data in files:
            (other / file).write_bytes(data)

    return make


def named(*names: str) -> Make:
    """Return a function that makes a picture at each path, all different."""

    def make(folder: Path) -> None:
        for number, name in enumerate(names):
            write_picture(folder / name, number)

    return make


def of_kind(kind: str) -> Make:
    """Return a function that makes a class with a special file and no picture."""

    def make(folder: Path) -> None:
        path = write_classes(folder, 3) / "cow" / "0.png"
        path.parent.mkdir()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "loop":
            path.symlink_to(path)
        else:
            path.symlink_to("nowhere.png")

    return make


def a_file(name: str, data: bytes) -> Make:
    """Return a function that makes a file in place of the folder."""

    def make(folder: Path) -> None:
        folder.with_name(name).write_bytes(data)

    return make


def all_alike(folder: Path) -> None:
    """Make two classes of one picture."""
    for name in ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"):
        write_picture(folder / name, 1)


def a_wrong_label(folder: Path) -> None:
    """Make a class whose only picture is in another class too."""
    write_classes(folder, 3)
    (folder / "cow").mkdir()
    shutil.copy(folder / "dog" / "0.png", folder / "cow" / "7.png")


def a_link_to_itself(folder: Path) -> None:
    """Make a class that is a link to the folder of the classes."""
    write_classes(folder, 3)
    (folder / "more").symlink_to(folder, target_is_directory=True)


PICTURE = encoded(scene(99), ".png")
MALFORMED: dict[str, tuple[Make, str]] = {
    "empty": (Path.mkdir, "has no sub-folders, expected at least two classes"),
    "pictures only": (named("a.png", "b.png"), "has 2 files and no sub-folders"),
    "one class": (named("cat/a.png", "cat/b.png"), "has only the class cat"),
    "only hidden": (named("_a/a.png", ".b/b.png", "__MACOSX/c.png"), "expected at least two classes"),
    "one folder too high": (named("pets/cat/a.png", "pets/dog/b.png"), "did you mean"),
    "folders of folders": (named("a/cat/1.png", "a/dog/2.png", "b/cat/3.png"), "which hold only folders"),
    "empty class": (with_class("cow"), "cow has no readable picture of cow: add some, or remove the folder"),
    "class of texts": (with_class("cow", ("a.txt", b"moo")), "a.txt (unsupported: no picture"),
    "class of HEIC": (with_class("cow", ("a.heic", b"\0\0\0\x18ftypheic" + bytes(40))), "heif-convert"),
    "class of empty files": (with_class("cow", ("a.png", b"")), "the file has no bytes"),
    "class of halves": (with_class("cow", ("a.png", PICTURE[: len(PICTURE) // 2])), "a.png (truncated"),
    "class of dots": (with_class("cow", ("a.png", encoded(scene(1)[:5, :5]))), "5 x 5 pixels, expected at"),
    "class of hidden files": (with_class("cow", (".a.png", PICTURE)), "no readable picture of cow"),
    "class of a pipe": (of_kind("pipe"), "not a regular file"),
    "class of a broken link": (of_kind("broken"), "does not exist"),
    "class of a loop": (of_kind("loop"), "cannot be opened"),
    "class linked to itself": (a_link_to_itself, "is a link to a folder that holds it"),
    "case": (named("Cat/a.png", "cat/b.png", "dog/c.png"), "classes Cat and cat, which differ only in case"),
    "accents": (named("caf\u00e9/a.png", "cafe\u0301/b.png"), "which differ only in case or accents"),
    "line break in a name": (with_class("c\now"), "expected a name of printable UTF-8"),
    "a name that is no UTF-8": (with_class(b"c\xffw"), "expected a name of printable UTF-8"),
    "a name of 255 bytes": (with_class("c" * 255), "at most 200 characters"),
    "pictures in train and test": (named("train/a.png", "test/b.png"), "has no class folders"),
    "test lacks a class": (named("train/cat/a.png", "train/dog/b.png", "test/cat/c.png"), "test lacks"),
    "train lacks a class": (
        named("train/cat/a.png", "train/dog/b.png", "test/cat/c.png", "test/dog/d.png", "test/cow/e.png"),
        "train lacks",
    ),
    "no train": (named("val/cat/a.png", "val/dog/b.png", "test/cat/c.png"), "and no train"),
    "train twice": (named("train/cat/a.png", "Train/cat/b.png", "test/cat/c.png"), "expected only one"),
    "parts and classes": (named("train/cat/a.png", "test/cat/b.png", "cow/c.png"), "side by side"),
    "a test folder of no class": (named("cat/a.png", "dog/b.png", "test/c.png"), "side by side"),
    "all alike": (all_alike, "the same picture is in another class"),
    "one picture, two classes": (a_wrong_label, "the same picture is in another class, as"),
    "one picture a class": (named("cat/a.png", "dog/b.png"), "at least two different ones of each class"),
    "zip": (a_file("pets.zip", b"PK\x03\x04"), "is an archive: unpack it"),
    "table": (a_file("pets.csv", b"path,label\n"), "is a file but not an .npz"),
    "picture": (a_file("pets.png", PICTURE), "is a file but not an .npz"),
    "nothing": (lambda _: None, "there is no data set"),
}


def contents(root: Path) -> dict[str, str]:
    """Return the kind or the hash of everything below a folder, by path."""
    found = {}
    for path in sorted(root.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        kind = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else str(path.lstat().st_mode)
        found[str(path)] = kind
    return found


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_folder_is_one_message(cli: RunCli, tmp_path: Path, case: str) -> None:
    """It says what was found, exit code 2, and neither the folder nor a former run at -o changes."""
    make, says = MALFORMED[case]
    folder, run = tmp_path / "pets", tmp_path / "run"
    make(folder)
    run.mkdir()
    (run / "run.json").write_text("a former run", encoding="utf-8")
    data = next((path for path in tmp_path.glob("pets*")), folder)
    before = contents(tmp_path)
    done = cli("train", data, "--model", "logreg", "-o", run, "--fresh")
    assert done.code == 2, done.err
    assert says in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["the data", "inside", "around"])
def test_a_run_among_the_pictures_is_refused(cli: RunCli, tmp_path: Path, kind: str) -> None:
    """A run folder is never made where it would become a class, nor are pictures moved aside."""
    folder = write_classes(tmp_path / "all" / "pets", 3)
    out = {"the data": folder, "inside": folder / "run", "around": folder.parent}[kind]
    before = contents(tmp_path)
    done = cli("train", folder, "--model", "logreg", "-o", out, "--fresh")
    assert (done.code, "lie in each other: give another -o" in done.err) == (2, True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("which", ["pets", "pets/cat"])
def test_a_folder_that_may_not_be_read(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """The message names the folder and the system's reason."""
    folder, scandir = write_classes(tmp_path / "pets", 3), os.scandir

    def refusing(path: str | Path | int) -> object:
        if str(path) == str(tmp_path / which):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    done = cli("train", folder, "--model", "logreg", "-o", tmp_path / "run")
    assert done.code == 2
    assert f"the folder {tmp_path / which} cannot be read: Permission denied" in done.err


@pytest.mark.train
def test_bad_files_are_passed_over(cli: RunCli, tmp_path: Path) -> None:
    """Beside good pictures, special, damaged and foreign files are listed, and the training goes on."""
    folder = write_classes(tmp_path / "pets", 6)
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "gone.png").symlink_to("nowhere.png")
    (folder / "dog" / os.fsdecode(b"\xff.png")).write_bytes(PICTURE[:50])
    (folder / "dog" / ("d" * 251 + ".png")).write_bytes(PICTURE)
    done = cli("train", folder, "--model", "logreg", "--set", "max_iter=2", "-o", tmp_path / "run")
    assert done.is_written, done.err
    assert "3 files were left out:" in done.err
    assert "pipe.png': unsupported: not a regular file" in done.err
    assert "gone.png': missing" in done.err
    assert "\\udcff.png" in done.err
