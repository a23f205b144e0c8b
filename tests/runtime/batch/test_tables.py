"""Tables that `sort`, `gallery` and `merge` read: what is no table is refused, and nothing is written."""

import json
import os
from pathlib import Path

import pytest

from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.files import TableFormat
from edge_fm_runtime.batch.outputs.rows import Row
from edge_fm_runtime.status import Status
from tests.conftest import RunCli

HEADER = "path,status,label,confidence,error\r\n"
NO_CONFIDENCE = ["abc", "nan", "-nan", "inf", "1e999", "", " ", "2.0", "-0.1", "1,5"]
NO_TABLES = {
    "empty.csv": b"",
    "binary.csv": bytes(range(256)) * 9,
    "nul.csv": HEADER.encode() + b"a\0b,ok,x,0.5,\r\n",
    "no-header.csv": b"a.png,ok,dark,0.9,\r\n",
    "short.csv": HEADER.encode() + b"a.png,ok\r\n",
    "long.csv": HEADER.encode() + b"a.png,ok,dark,0.9,,more\r\n",
    "no-label.csv": HEADER.encode() + b"a.png,ok,,0.9,\r\n",
    "other-status.csv": HEADER.encode() + b"a.png,fine,dark,0.9,\r\n",
    "quote.csv": HEADER.encode() + b'"a.png,ok,dark,0.9,\r\n',
    "huge-cell.csv": HEADER.encode() + b"a" * 200_000 + b",ok,dark,0.9,\r\n",
    "huge-line.jsonl": b'"' + b"a" * (2**24 + 1),
    "empty.jsonl": b"",
    "list.jsonl": b"[1, 2]\n",
    "number.jsonl": b"7\n",
    "deep.jsonl": b"[" * 100_000 + b"\n",
    "digits.jsonl": b"9" * 5_000 + b"\n",
    "nan.jsonl": b'{"path":"a","status":"ok","label":"x","confidence":NaN,"error":""}\n',
    "infinite.jsonl": b'{"path":"a","status":"ok","label":"x","confidence":1e999,"error":""}\n',
    "integer.jsonl": b'{"path":"a","status":"ok","label":"x","confidence":1' + b"0" * 400 + b',"error":""}\n',
    "path.jsonl": b'{"path":["a"],"status":"ok","label":"x","confidence":1,"error":""}\n',
    "surrogate.jsonl": b'{"path":"\\ud800","status":"ok","label":"x","confidence":1,"error":""}\n',
    "bytes.parquet": b"PAR1 and no more",
    "empty.parquet": b"",
    "text.txt": b"text",
    "no-suffix": b"text",
}


def refuse(cli: RunCli, folder: Path, table: Path) -> str:
    """Return the message with which both commands refuse a table; they write nothing."""
    before = sorted(folder.iterdir())
    messages = [
        cli("sort", table, "--into", folder / "sorted"),
        cli("gallery", table, "-o", folder / "page.html"),
    ]
    assert [(found.code, found.out) for found in messages] == [(2, "")] * 2
    assert sorted(folder.iterdir()) == before
    assert messages[0].err == messages[1].err
    return messages[0].err


@pytest.mark.parametrize("confidence", NO_CONFIDENCE)
def test_a_confidence_that_is_none(cli: RunCli, tmp_path: Path, confidence: str) -> None:
    """A confidence that is no number from 0 to 1 is refused with its row, in any position of the ranking."""
    header = "path,status,label,confidence,label_2,confidence_2,error\r\n"
    for number, cells in enumerate((f'dark,"{confidence}",light,0.1', f'dark,0.9,light,"{confidence}"')):
        table = tmp_path / f"{number}.csv"
        table.write_text(f"{header}a.png,ok,dark,0.9,light,0.1,\r\nb.png,ok,{cells},\r\n")
        assert f"row 2: the confidence is {confidence!r}" in refuse(cli, tmp_path, table)


@pytest.mark.parametrize("name", NO_TABLES)
def test_a_file_that_is_no_table(cli: RunCli, tmp_path: Path, name: str) -> None:
    """Bytes that are no output of `label` are refused with one line that names the file."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    table = tmp_path / name
    table.write_bytes(NO_TABLES[name])
    message = refuse(cli, tmp_path, table)
    assert message.count("\n") == 1
    assert str(table) in message


def test_what_is_no_file_is_no_table(cli: RunCli, tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and an endless device are refused before they are opened."""
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    assert "does not exist" in refuse(cli, tmp_path, tmp_path / "missing.csv")
    for name in ("folder.csv", "pipe.csv", "zero.csv"):
        assert "is no regular file" in refuse(cli, tmp_path, tmp_path / name)


def test_a_table_of_some_columns_is_refused_by_the_missing_one(cli: RunCli, tmp_path: Path) -> None:
    """A table written with `--fields` is refused with the column that it lacks."""
    table = tmp_path / "some.csv"
    table.write_text("path,label\r\na.png,dark\r\n")
    assert "there is no column 'status'" in refuse(cli, tmp_path, table)


def test_a_page_never_replaces_its_table(cli: RunCli, tmp_path: Path) -> None:
    """`gallery` with the table as its output refuses, also under another name of the file."""
    table = tmp_path / "labels.csv"
    table.write_text(HEADER + "a.png,ok,dark,0.9,\r\n")
    (tmp_path / "page.html").hardlink_to(table)
    for output in (table, tmp_path / "page.html"):
        assert cli("gallery", table, "-o", output).code == 2
    assert table.read_text() == (HEADER + "a.png,ok,dark,0.9,\r\n").replace("\r\n", "\n")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_rows_has_no_rows(tmp_path: Path, suffix: str) -> None:
    """A shard without inputs has a table without rows, which reads as none."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"empty{suffix}"
    files.write(path, [], TableFormat(top=2))
    assert list(files.read(path)) == []


STARTS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "'quoted", "''=1", "'", "plain", ""]  # noqa: RUF001


def test_cells_that_look_like_formulas_stay_faithful(tmp_path: Path) -> None:
    """Without the option the CSV has each text as it is."""
    rows = [Row(start or "none", Status.OK, ((start or "none", "0.5000"),), start) for start in STARTS]
    files.write(tmp_path / "plain.csv", rows, TableFormat(top=1))
    assert list(files.read(tmp_path / "plain.csv")) == rows
    text = (tmp_path / "plain.csv").read_bytes()
    assert text.startswith(b"path,")
    assert b"\r\n=1+1,ok,=1+1,0.5000,=1+1\r\n" in text


def test_a_spreadsheet_gets_no_formula(tmp_path: Path) -> None:
    """With the option no cell begins as a formula, and reading gives every text back."""
    rows = [Row(start or "none", Status.OK, ((start or "none", "0.5000"),), start) for start in STARTS]
    files.write(tmp_path / "safe.csv", rows, TableFormat(top=1, spreadsheet_safe=True))
    assert list(files.read(tmp_path / "safe.csv")) == rows
    text = (tmp_path / "safe.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines()[1] == "'=1+1,ok,'=1+1,0.5000,'=1+1"
    assert (tmp_path / "safe.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_sort_and_gallery_read_a_spreadsheet_safe_table(
    cli: RunCli, tiny_path: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose name begins as a formula is labelled, sorted and shown from a protected table."""
    monkeypatch.chdir(folder)
    Path("=1+1.png").write_bytes(Path("01.png").read_bytes())
    table = tmp_path / "safe.csv"
    assert cli("label", "=1+1.png", "--model", tiny_path, "--spreadsheet-safe", "-o", table).code == 0
    assert "'=1+1.png,ok,light" in table.read_text(encoding="utf-8-sig")
    assert cli("sort", table, "--into", tmp_path / "sorted").code == 0
    assert (tmp_path / "sorted" / "light" / "=1+1.png").is_file()
    assert cli("gallery", table, "-o", tmp_path / "page.html").code == 0
    assert json.dumps("=1+1.png") in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("others", [("-o", "x.jsonl"), ("-o", "-"), ("-o", "x.csv", "--shard", "1/2")])
def test_spreadsheet_safe_is_for_a_csv(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]
) -> None:
    """The option is refused, with its own name, where there is no CSV for a person."""
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(b"")
    result = cli("label", "a.png", "--spreadsheet-safe", *others)
    assert result.code == 2
    assert "--spreadsheet-safe" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
