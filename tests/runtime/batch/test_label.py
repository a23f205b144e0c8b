"""Labelling folders: one row per input, whatever it is."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.batch.inputs import find
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs.rows import decode
from edge_fm_runtime.batch.workers.inference import label_rows
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.status import Status
from tests.pictures import encoded
from tests.runtime.labelling import PNG, rows, run

JPEG = encoded(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8), ".jpg")


@pytest.fixture
def every_kind(tmp_path: Path) -> Path:
    """Return a folder with every kind of input."""
    made = tmp_path / "in"
    (made / "sub folder").mkdir(parents=True)
    contents = {
        "plain.png": PNG,
        "with space.png": PNG,
        "new\nline.png": PNG,
        'quote",comma.png': PNG,
        "ümläut 티셔츠.png": PNG,
        "sub folder/deep.jpg": JPEG,
        "empty.jpg": b"",
        "cut.jpg": JPEG[: len(JPEG) // 2],
        "cut.png": PNG[:-10],
        "notes.txt": b"no picture",
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0",
        "wrong suffix.txt": PNG,
        "dark.png": encoded(np.full((28, 28), 120, np.uint8)),
        ".hidden.png": PNG,
    }
    for name, data in contents.items():
        (made / name).write_bytes(data)
    (made / ".hidden").mkdir()
    (made / ".hidden" / "x.png").write_bytes(PNG)
    (made / "link.png").symlink_to(made / "plain.png")
    (made / "broken link.png").symlink_to(made / "nowhere")
    (made / "loop").symlink_to(made)
    with open(os.fsencode(made) + b"/\xff\xfe.png", "wb") as file:  # noqa: PTH123  # a name that is no UTF-8
        file.write(PNG)
    return made


def test_every_input_has_its_row(model: Model, every_kind: Path, tmp_path: Path) -> None:
    """Pictures, odd names, links and damaged files each get one row with the right status."""
    summary = run(model, tmp_path / "out.csv", every_kind)
    found = {
        path.removeprefix(f"{every_kind}/"): row["status"] for path, row in rows(tmp_path / "out.csv").items()
    }
    assert found == {
        "plain.png": "ok",
        "with space.png": "ok",
        "new\nline.png": "ok",
        'quote",comma.png': "ok",
        "ümläut 티셔츠.png": "ok",
        "sub folder/deep.jpg": "unknown",
        "empty.jpg": "empty",
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "notes.txt": "unsupported",
        "photo.heic": "unsupported",
        "wrong suffix.txt": "ok",
        "dark.png": "unknown",
        "link.png": "ok",
        "broken link.png": "missing",
        "\\xff\\xfe.png": "ok",
    }
    assert summary.rows == len(found)
    assert summary.bad == 4


def test_rows_are_sorted_and_complete(model: Model, every_kind: Path, tmp_path: Path) -> None:
    """Rows come in the order of their path's bytes; answers have four decimals, failures a sentence."""
    run(model, tmp_path / "out.csv", every_kind, options=Options(RowOptions(top=2)))
    found = rows(tmp_path / "out.csv")
    paths = [path.encode() for path in found]
    assert paths == sorted(paths)
    plain = found[f"{every_kind}/plain.png"]
    assert list(plain) == ["path", "status", "label", "confidence", "label_2", "confidence_2", "error"]
    assert (plain["label"], plain["confidence"], plain["label_2"]) == ("light", "0.9804", "dark")
    assert all(bool(row["error"]) != bool(row["label"]) for row in found.values())


def test_inputs_are_never_modified(model: Model, every_kind: Path, tmp_path: Path) -> None:
    """The inputs are the same bytes afterwards, and nothing appears among them."""
    before = {path: path.read_bytes() for path in every_kind.rglob("*") if path.is_file()}
    run(model, tmp_path / "out.csv", every_kind)
    assert {path: path.read_bytes() for path in every_kind.rglob("*") if path.is_file()} == before


def test_own_files_are_no_inputs(model: Model, tmp_path: Path) -> None:
    """An output inside the input folder is not labelled, now or in the next run."""
    (tmp_path / "a.png").write_bytes(PNG)
    for _ in range(2):
        assert run(model, tmp_path / "labels.csv", tmp_path).rows == 1


def test_a_path_given_twice_is_one_row(model: Model, tmp_path: Path) -> None:
    """A file and its folder, the folder twice, and another spelling are still one row."""
    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(PNG)
    spelled = f"{tmp_path}/in/../in"
    assert run(model, tmp_path / "out.csv", picture.parent, picture, picture.parent, spelled).rows == 1


def test_paths_are_as_given(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    run(model, Path("out.csv"), "in")
    assert list(rows(Path("out.csv"))) == ["in/a.png"]


def test_missing_and_empty_inputs(model: Model, tmp_path: Path) -> None:
    """A name that is not there, or a folder without files, is an error and writes nothing."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "typo"):
        with pytest.raises(SourceError, match=name):
            run(model, tmp_path / "out.csv", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """Return a folder of a user who, unlike root, may be refused; that user acts in the test."""
    was_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if was_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            else:
                (folder / "in" / "closed").chmod(0o700)


def test_an_unreadable_file_and_folder(model: Model, nobody: Path) -> None:
    """A file without read permission becomes a row, and the run continues."""
    made = nobody / "in"
    (made / "closed").mkdir(parents=True)
    (made / "a.png").write_bytes(PNG)
    (made / "secret.png").write_bytes(PNG)
    (made / "secret.png").chmod(0)
    (made / "closed").chmod(0)
    # In this process: the other user may not start the interpreter of a worker.
    lines = label_rows(Classifier.from_bytes(model.data), find.find([str(made)]), RowOptions())
    found = {Path(row.path).name: row.status for row, _ in map(decode, lines)}
    assert found == {"a.png": Status.OK, "secret.png": Status.UNREADABLE, "closed": Status.UNREADABLE}


def test_an_output_folder_without_permission(model: Model, nobody: Path) -> None:
    """An output folder that this user may not write is a sentence."""
    (nobody / "in" / "closed").mkdir(parents=True)
    (nobody / "in" / "closed").chmod(0o500)
    (nobody / "a.png").write_bytes(PNG)
    with pytest.raises(OutputError, match="Permission denied"):
        run(model, nobody / "in" / "closed" / "out.csv", nobody / "a.png")


def test_a_row_does_not_depend_on_its_neighbours(many: Path, tmp_path: Path) -> None:
    """Alone or in a batch, a picture gets the same row from the bundled int8 model."""
    fashion = Model(read_model("fashion"))
    run(fashion, tmp_path / "whole.csv", many, options=Options(RowOptions(top=10)))
    whole = rows(tmp_path / "whole.csv")
    for index in (0, 5, 40):
        alone = tmp_path / f"{index}.csv"
        run(fashion, alone, many / f"{index}.png", options=Options(RowOptions(top=10)))
        assert rows(alone)[str(many / f"{index}.png")] == whole[str(many / f"{index}.png")]
