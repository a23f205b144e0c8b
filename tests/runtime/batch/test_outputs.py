"""Output formats hold the same rows."""

import csv
import json
from pathlib import Path

import pytest

from edge_fm_runtime.batch.label import Model, stream
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.rows import Row
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.status import Status
from tests.runtime.labelling import run


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_holds_the_same(model: Model, folder: Path, tmp_path: Path, suffix: str) -> None:
    """CSV, JSON lines and Parquet give back the same rows, any file name included."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    options = Options(RowOptions(top=2))
    run(model, tmp_path / "labels.csv", folder, options=options)
    run(model, tmp_path / f"other{suffix}", folder, options=options)
    expected = list(files.read(tmp_path / "labels.csv"))
    assert list(files.read(tmp_path / f"other{suffix}")) == expected
    assert len(expected) == 25
    assert any(row.path.endswith("\\xff.png") for row in expected)


def test_json_lines_are_plain_json(model: Model, folder: Path, tmp_path: Path) -> None:
    """Confidences are numbers, missing answers null, and each line is an object."""
    run(model, tmp_path / "out.jsonl", folder)
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {type(record["confidence"]) for record in records} == {float, type(None)}


def test_csv_is_rfc_4180(model: Model, folder: Path, tmp_path: Path) -> None:
    """Rows end in CRLF and a name with comma, quote and line break comes back whole."""
    run(model, tmp_path / "out.csv", folder)
    data = (tmp_path / "out.csv").read_bytes()
    assert data.startswith(b"path,status,label,confidence,error\r\n")
    assert f'"{folder}/a,""b\n<script>.png",ok,'.encode() in data


def test_fields_choose_columns(model: Model, folder: Path, tmp_path: Path) -> None:
    """Only the fields asked for are written, in that order; an unknown one is refused before any work."""
    run(model, tmp_path / "out.csv", folder, options=Options(fields=("label", "path")))
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["label", "path"]
    with pytest.raises(OutputError, match="no field 'nonsense'"):
        run(model, tmp_path / "out.csv", folder, options=Options(fields=("nonsense",)))


def test_streaming_gives_every_row_once(model: Model, folder: Path) -> None:
    """`-` gives JSON lines, each input once, and keeps nothing on disk."""
    lines: list[str] = []
    summary = stream(model, [str(folder)], Options(workers=2), lines.append)
    paths = [json.loads(line)["path"] for line in lines]
    assert len(set(paths)) == len(paths) == summary.rows == 25
    assert not list(folder.parent.glob(".*"))


def test_rows_survive_a_record() -> None:
    """A row is what its columns say."""
    row = Row("a", Status.OK, (("x", "0.9000"), ("y", "0.1000")), "")
    names = ["path", "status", "label", "confidence", "label_2", "confidence_2", "error"]
    assert Row.from_record(dict(zip(names, row.cells(2), strict=True))) == row
