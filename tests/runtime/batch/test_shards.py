"""Shards of the inputs, and their merge."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_fm_runtime.batch.inputs import find
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options, RowOptions, Shard
from edge_fm_runtime.batch.outputs import files, shards
from edge_fm_runtime.batch.outputs.files import TableFormat
from edge_fm_runtime.batch.outputs.lock import OutputLock
from edge_fm_runtime.batch.outputs.shards import Part
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.status import Status
from tests.runtime.labelling import PNG, run


def parts_of(model: Model, folder: Path, tmp_path: Path, count: int, suffix: str = ".csv") -> list[Path]:
    """Label a folder in shards."""
    made = []
    for index in range(1, count + 1):
        path = tmp_path / f"part-{index}{suffix}"
        run(model, path, folder, options=Options(RowOptions(top=2), shard=Shard(index, count)))
        made.append(path)
    return made


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_merged_shards_are_the_unsharded_run(model: Model, folder: Path, tmp_path: Path, suffix: str) -> None:
    """Three shards, in any order, give the bytes of one run."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    run(model, tmp_path / "whole.csv", folder, options=Options(RowOptions(top=2)))
    parts = parts_of(model, folder, tmp_path, 3, suffix)
    assert shards.merge(parts[::-1], tmp_path / "all.csv") == 25
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_new_file_moves_no_other(folder: Path) -> None:
    """An input's shard depends on its own path alone."""
    before = {i: shards.belonging(find.find([str(folder)]), Shard(i, 4)) for i in range(1, 5)}
    (folder / "zzz.png").write_bytes(PNG)
    after = {i: shards.belonging(find.find([str(folder)]), Shard(i, 4)) for i in range(1, 5)}
    assert sum(map(len, after.values())) == 26
    assert all(set(before[i]) <= set(after[i]) for i in before)


def test_merge_refuses_what_is_not_whole(model: Model, folder: Path, tmp_path: Path, bare_path: Path) -> None:
    """A missing shard, one twice, a lost row, another model or another list of inputs: each is named."""
    parts = parts_of(model, folder, tmp_path, 3)
    out = tmp_path / "all.csv"

    def refused(given: list[Path], says: str) -> None:
        with pytest.raises(SourceError, match=says):
            shards.merge(given, out)
        assert not out.exists()

    refused(parts[:2], "3 are missing")
    refused([], "no part")
    refused([*parts, tmp_path / "none.csv"], "no part")
    copy = tmp_path / "copy.csv"
    copy.write_bytes(parts[0].read_bytes())
    refused([*parts, copy], "does not say which part")
    shards.meta_path(copy).write_text(shards.meta_path(parts[0]).read_text())
    refused([*parts, copy], "both shard 1/3")
    whole = parts[1].read_bytes()
    parts[1].write_bytes(whole[: whole.rindex(b"\r\n", 0, -2) + 2])
    refused(parts, "should have")
    lines = whole.split(b"\r\n")
    parts[1].write_bytes(b"\r\n".join([*lines[:-1], lines[-2], b""]))
    refused(parts, "twice or out of order")
    parts[1].write_bytes(whole.replace(b",ok,", b",fine,", 1))
    refused(parts, "not a complete output")
    parts[1].write_bytes(whole)
    other = Model(bare_path.read_bytes(), ("dark", "light"))
    run(other, parts[2], folder, options=Options(RowOptions(top=2), shard=Shard(3, 3)))
    refused(parts, "another model")
    (folder / "new.png").write_bytes(PNG)
    run(model, parts[2], folder, options=Options(RowOptions(top=2), shard=Shard(3, 3)))
    refused(parts, "another list of inputs")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_merge_notices_an_edited_part(model: Model, folder: Path, tmp_path: Path, suffix: str) -> None:
    """A label, a confidence or an error that was changed after the part was written is refused."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    parts = parts_of(model, folder, tmp_path, 2, suffix)
    part, out = Part.of(str(parts[0])), tmp_path / "all.csv"
    rows = list(files.read(parts[0]))
    labelled = next(index for index, row in enumerate(rows) if row.ranking)
    (label, confidence), *others = rows[labelled].ranking
    for changed in (
        replace(rows[labelled], ranking=(("edited", confidence), *others)),
        replace(rows[labelled], ranking=((label, "0.1234"), *others)),
        replace(rows[labelled], error="edited"),
        replace(rows[labelled], status=Status.UNKNOWN if rows[labelled].status == "ok" else Status.OK),
    ):
        edited = [*rows[:labelled], changed, *rows[labelled + 1 :]]
        files.write(parts[0], edited, TableFormat(top=2, meta=part.to_json))
        with pytest.raises(SourceError, match="was changed after it was written"):
            shards.merge(parts, out)
        assert not out.exists()
    files.write(parts[0], rows, TableFormat(top=2, meta=part.to_json))
    assert shards.merge(parts, out) == 25


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_parts_without_a_digest_are_merged(model: Model, folder: Path, tmp_path: Path, suffix: str) -> None:
    """Parts of a version that kept no digest, where Parquet had its metadata in the schema, still merge."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    parts = parts_of(model, folder, tmp_path, 2, suffix)
    for path in parts:
        old = json.loads(Part.of(str(path)).to_json())
        del old["rows_sha256"]
        if suffix == ".parquet":
            arrow, parquet = files.pyarrow()
            table = parquet.read_table(path)
            bare = arrow.schema(list(table.schema), metadata={b"edge_fm.part": json.dumps(old).encode()})
            with parquet.ParquetWriter(path, bare) as writer:
                writer.write_table(table.cast(bare))
        else:
            shards.meta_path(path).write_text(json.dumps(old))
    assert shards.merge(parts, tmp_path / "all.csv") == 25


def test_merge_refuses_the_same_part_twice(
    model: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is named twice, by another path or through a link is refused, and nothing is written."""
    first, second = parts_of(model, folder, tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    for name in (first, Path(first.name), Path("..") / tmp_path.name / first.name):
        with pytest.raises(SourceError, match=r"both shard 1/2: leave one of them out"):
            shards.merge([first, name, second], tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()


def test_merge_sweeps_what_a_killed_merge_left(model: Model, folder: Path, tmp_path: Path) -> None:
    """The partial file of a killed merge goes with the next one, and no other file."""
    parts = parts_of(model, folder, tmp_path, 2)
    left, other = tmp_path / ".all.csv.x1y2.partial", tmp_path / ".all.csv.csv.x1y2.partial"
    for path in (left, other):
        path.write_text("half")
    shards.merge(parts, tmp_path / "all.csv")
    assert not left.exists()
    assert other.exists()


def test_one_merge_at_a_time_writes_an_output(model: Model, folder: Path, tmp_path: Path) -> None:
    """A second merge into an output that is being written is refused, as its partial file is in use."""
    parts = parts_of(model, folder, tmp_path, 2)
    with OutputLock(tmp_path / "all.csv"), pytest.raises(OutputError, match="is writing the same output"):
        shards.merge(parts, tmp_path / "all.csv")
    assert shards.merge(parts, tmp_path / "all.csv") == 25


def test_a_merged_table_can_be_made_safe_for_spreadsheets(
    model: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`merge` protects the cells that a spreadsheet would run."""
    monkeypatch.chdir(folder)
    Path("=1+1.png").write_bytes(PNG)
    parts = []
    for index in (1, 2):
        parts.append(tmp_path / f"part-{index}.csv")
        run(model, parts[-1], "=1+1.png", "01.png", options=Options(shard=Shard(index, 2)))
    shards.merge(parts, tmp_path / "all.csv", spreadsheet_safe=True)
    assert "'=1+1.png,ok," in (tmp_path / "all.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "", "1/" + "9" * 5000, "1/3/3", "1/3\n"]
)
def test_shards_that_are_none(text: str) -> None:
    """A shard that makes no sense is a sentence."""
    with pytest.raises(SourceError, match="3/16"):
        Shard.parse(text)
