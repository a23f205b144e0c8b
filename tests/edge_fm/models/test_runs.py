"""Run folders that anybody may have made."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_fm.models.runs import HISTORY, RECORD, Run, read_history
from edge_fm_runtime.errors import DataError

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
