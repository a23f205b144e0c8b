"""Run folders that anybody may have made."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_fm.models.runs import HISTORY, RECORD, Run, begin, read_history
from edge_fm.training.edge import folds, train
from edge_fm_runtime.errors import DataError, OutputError

RUN = Run(
    architecture="edge-nano",
    data="wardrobe",
    class_names=("a", "b"),
    scale="unit",
    model="model.keras",
    options={"units": 64},
    settings={"epochs": 1},
    epochs=1,
    best_epoch=1,
    scores={"test": {"accuracy": 0.5}},
    seconds=1.0,
    interrupted=False,
    licence="none",
    tools={"python": "3"},
    created="2025-01-01",
)


def test_a_record_comes_back(tmp_path: Path) -> None:
    """A saved record is loaded, also one of a version that did not know the input's shape."""
    RUN.save(tmp_path)
    assert Run.load(tmp_path) == RUN
    values = json.loads((tmp_path / RECORD).read_text())
    del values["input_shape"]
    (tmp_path / RECORD).write_text(json.dumps(values))
    assert Run.load(tmp_path) == RUN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": "ab"}, "no list"),
        ({"class_names": [1, 2]}, "no str"),
        ({"input_shape": [28, 28]}, "2 items, not 3"),
        ({"epochs": 10**400}, "beyond 64 bits"),
        ({"seconds": float("nan")}, "not finite"),
        ({"scores": []}, "no object"),
        ({"model": 7}, "no str"),
        ({"model": "../other/model.keras"}, "expected a file in the folder"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_record_of_wrong_types_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """The error names the file, the field and the fault."""
    (tmp_path / RECORD).write_text(json.dumps(asdict(RUN) | change))
    with pytest.raises(DataError, match=message):
        Run.load(tmp_path)


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    """A file, a pipe and random bytes in the place of a run folder or its record are a sentence each."""
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"\x00\xff" * 100)
    os.mkfifo(pipe)
    for path in (file, pipe, tmp_path / "gone"):
        with pytest.raises(DataError, match="is not a run folder"):
            Run.load(path)
    os.mkfifo(tmp_path / RECORD)
    os.mkfifo(tmp_path / HISTORY)
    with pytest.raises(DataError, match="named pipe"):
        Run.load(tmp_path)
    with pytest.raises(DataError, match="named pipe"):
        read_history(tmp_path / HISTORY)
    (tmp_path / RECORD).unlink()
    (tmp_path / RECORD).write_bytes(b"\x00\xff" * 100)
    with pytest.raises(DataError, match="is broken"):
        Run.load(tmp_path)


def test_options_of_a_run_keep_their_numbers(tmp_path: Path) -> None:
    """Whole options stay whole."""
    replace(RUN, options={"units": 64, "rate": 0.5}).save(tmp_path)
    assert isinstance(Run.load(tmp_path).options["units"], int)


def occupied(folder: Path, *names: str) -> Path:
    """Make a folder with files of these names."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@pytest.mark.parametrize("names", [("run.json", "model.keras"), ("notes.txt",), ("model.keras", "a", "b")])
def test_a_folder_with_files_is_not_overwritten(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A run or any other file refuses a training and names --fresh, and nothing changes."""
    folder = occupied(tmp_path / "run", *names)
    with pytest.raises(OutputError, match=r"or --fresh, which first moves it to run\.1"):
        begin(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("names", [(), (".DS_Store",)])
def test_an_empty_folder_is_used(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A folder without files, or with hidden ones only, may become a run."""
    begin(occupied(tmp_path / "run", *names))
    assert not (tmp_path / "run.1").exists()


def test_fresh_loses_nothing(tmp_path: Path) -> None:
    """With fresh, each former folder is renamed to the next free number, whole."""
    folder = tmp_path / "run"
    for number in range(3):
        begin(folder, fresh=True)
        (folder / RECORD).write_text(str(number), encoding="utf-8")
    kept = [(tmp_path / name / RECORD).read_text() for name in ("run.1", "run.2", "run")]
    assert kept == ["0", "1", "2"]


def test_the_working_directory_is_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell would stand in a folder of another name."""
    monkeypatch.chdir(occupied(tmp_path / "run", "run.json"))
    with pytest.raises(OutputError, match="is the working directory"):
        begin(Path(), fresh=True)
    assert (tmp_path / "run" / "run.json").is_file()


def test_an_interrupted_training_may_go_on(tmp_path: Path) -> None:
    """The state of an interrupted edge training, and networks of folds, are gone on with; a run is not."""
    begin(occupied(tmp_path / "state", "state.npz", "history.csv"), resumable=train.is_resumable)
    begin(occupied(tmp_path / "folds", "without-0", "folds.json"), resumable=folds.is_resumable)
    with pytest.raises(OutputError, match="holds a run"):
        begin(occupied(tmp_path / "run", "state.npz", "run.json"), resumable=train.is_resumable)
    with pytest.raises(OutputError, match=r"holds 'folds\.json' and 1 other files"):
        begin(occupied(tmp_path / "other", "model.keras", "folds.json"), resumable=folds.is_resumable)


@pytest.mark.parametrize(("data", "kept"), [("pets", True), ("./pets/", True), ("other", False)])
def test_a_test_folder_is_of_the_runs_data(data: str, kept: bool) -> None:
    """The folder that a run was tested on goes with its own data, however it is written, and no other."""
    run = replace(RUN, data="pets", test="held-out")
    assert run.test_folder(data) == (Path("held-out") if kept else None)
    assert RUN.test_folder("wardrobe") is None
