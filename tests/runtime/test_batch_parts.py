"""Inputs, outputs, shards, watching, sorting and the gallery."""

import csv
import io
import json
import os
import re
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.batch import locators, shards, sinks, sort, sources, watch
from edge_fm_runtime.batch.gallery import write as write_gallery
from edge_fm_runtime.batch.options import Options, RowOptions, Shard
from edge_fm_runtime.batch.rows import Row
from edge_fm_runtime.batch.run import Model, Summary, label, stream
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.posix import usable_cores
from edge_fm_runtime.status import Status
from tests.pictures import encoded

PNG, DARK = (encoded(np.full((28, 28), level, np.uint8)) for level in (250, 10))
GREY = encoded(np.full((28, 28), 130, np.uint8))


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Model:
    """Return the model that answers with the mean grey level."""
    return Model(tiny_path.read_bytes())


def run(model: Model, output: Path, *inputs: object, options: Options = Options()) -> Summary:  # noqa: B008
    """Label without a listener."""
    return label(model, list(map(str, inputs)), output, options, lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with light, dark, unsure and broken pictures, and odd names."""
    made = tmp_path / "in"
    (made / "sub").mkdir(parents=True)
    for index in range(20):
        (made / f"{index:02}.png").write_bytes(PNG if index % 2 else DARK)
    (made / "sub" / "01.png").write_bytes(PNG)
    (made / "unsure.png").write_bytes(GREY)
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (made / 'a,"b\n<script>.png').write_bytes(PNG)
    with open(os.fsencode(made) + b"/\xff.png", "wb") as file:  # noqa: PTH123  # a name that is no UTF-8
        file.write(PNG)
    return made


def test_zip_and_tar_members_are_inputs(model: Model, tmp_path: Path) -> None:
    """Members are labelled without unpacking, under archive/member; hidden and damaged ones as in a folder."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x.png", "deep/y.png", ".hidden.png", "__MACOSX/z.png", "../up.png", "deep/"):
            archive.writestr(name, PNG if name[-1] != "/" else b"")
        archive.writestr("bomb.png", bytes(3_000_000))
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        member = tarfile.TarInfo("t.png")
        member.size = len(DARK)
        tar.addfile(member, io.BytesIO(DARK))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    from edge_fm_runtime.guard import Limits

    options = Options(RowOptions(limits=Limits(max_bytes=2_000_000)))
    run(model, tmp_path / "out.csv", tmp_path / "a.zip", tmp_path / "b.tar", options=options)
    found = {row.path.removeprefix(f"{tmp_path}/"): row.status for row in sinks.read(tmp_path / "out.csv")}
    assert found == {
        "a.zip/x.png": "ok",
        "a.zip/deep/y.png": "ok",
        "a.zip/../up.png": "ok",
        "a.zip/bomb.png": "too_large",
        "b.tar/t.png": "ok",
    }


def test_damaged_archives(model: Model, tmp_path: Path) -> None:
    """An archive that is none is an error; a damaged or encrypted member is a row; one within a folder is a file."""
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(SourceError, match=r"bad\.zip"):
        run(model, tmp_path / "out.csv", tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", PNG)
        archive.writestr("y.png", PNG)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    run(model, tmp_path / "out.csv", tmp_path / "a.zip")
    assert [row.status for row in sinks.read(tmp_path / "out.csv")] == ["unreadable", "ok"]
    (tmp_path / "in").mkdir()
    (tmp_path / "a.zip").rename(tmp_path / "in" / "a.zip")
    run(model, tmp_path / "out.csv", tmp_path / "in")
    (row,) = sinks.read(tmp_path / "out.csv")
    assert (row.status, "zip" in row.error) == (Status.UNSUPPORTED, True)


def test_lists_patterns_and_standard_input(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@list`, NUL-separated names on standard input and patterns name files; a listed one that is gone is kept."""
    (tmp_path / "list.txt").write_bytes(f"{folder}/00.png\r\n\n{folder}/gone.png\n{folder}/00.png\n".encode())
    assert [Path(p).name for p in sources.find([f"@{tmp_path}/list.txt"])] == ["00.png", "gone.png"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f'{folder}/a,"b\n<script>.png\0'.encode())))
    assert [Path(p).name for p in sources.find(["-"])] == ['a,"b\n<script>.png']
    assert len(sources.find([f"{folder}/0*.png"])) == 10
    assert len(sources.find([f"{folder}/**/0*.png"])) == 11
    for wrong in ("@none.txt", f"{folder}/none*.png"):
        with pytest.raises(SourceError):
            sources.find([wrong])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_holds_the_same(model: Model, folder: Path, tmp_path: Path, suffix: str) -> None:
    """CSV, JSON lines and Parquet give back the same rows, any file name included."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    options = Options(RowOptions(top=2))
    run(model, tmp_path / "labels.csv", folder, options=options)
    run(model, tmp_path / f"other{suffix}", folder, options=options)
    expected = list(sinks.read(tmp_path / "labels.csv"))
    assert list(sinks.read(tmp_path / f"other{suffix}")) == expected
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
    with pytest.raises(OutputError, match="no field nonsense"):
        run(model, tmp_path / "out.csv", folder, options=Options(fields=("nonsense",)))


def test_streaming_gives_every_row_once(model: Model, folder: Path) -> None:
    """`-` gives JSON lines, each input once, and keeps nothing on disk."""
    lines: list[str] = []
    summary = stream(model, [str(folder)], Options(workers=2), lines.append)
    paths = [json.loads(line)["path"] for line in lines]
    assert len(set(paths)) == len(paths) == summary.rows == 25
    assert not list(folder.parent.glob(".*"))


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
    before = {i: shards.belonging(sources.find([str(folder)]), Shard(i, 4)) for i in range(1, 5)}
    (folder / "zzz.png").write_bytes(PNG)
    after = {i: shards.belonging(sources.find([str(folder)]), Shard(i, 4)) for i in range(1, 5)}
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
    refused(parts, "no whole file")
    parts[1].write_bytes(whole)
    other = Model(bare_path.read_bytes(), ("dark", "light"))
    run(other, parts[2], folder, options=Options(RowOptions(top=2), shard=Shard(3, 3)))
    refused(parts, "another model")
    (folder / "new.png").write_bytes(PNG)
    run(model, parts[2], folder, options=Options(RowOptions(top=2), shard=Shard(3, 3)))
    refused(parts, "another list of inputs")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", ""])
def test_shards_that_are_none(text: str) -> None:
    """A shard that makes no sense is a sentence."""
    with pytest.raises(SourceError, match="3/16"):
        Shard.parse(text)


@pytest.mark.slow
def test_watching_waits_until_a_file_is_written(model: Model, tmp_path: Path) -> None:
    """A file that is still growing is not labelled; when it has settled it is, and an empty folder is waited for."""
    folder, out = tmp_path / "in", tmp_path / "out.csv"
    folder.mkdir()
    reports: list[Summary] = []
    arguments = (model, [str(folder)], out, Options(), lambda *_: None, reports.append)
    watcher = threading.Thread(target=watch.watch, args=arguments, kwargs={"rounds": 14})
    watcher.start()
    with (folder / "growing.png").open("wb") as file:
        for position in range(0, len(PNG), 20):
            file.write(PNG[position : position + 20])
            file.flush()
            time.sleep(0.3)
            assert not out.exists()
    watcher.join()
    assert [summary.by_status for summary in reports] == [{Status.OK: 1}]
    assert [row.status for row in sinks.read(out)] == ["ok"]


def test_usable_cores_respect_a_quota(tmp_path: Path) -> None:
    """A control group's quota counts in both versions; none means the affinity."""
    free = usable_cores(tmp_path)
    assert free == len(os.sched_getaffinity(0))
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == free
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cores(tmp_path) == min(free, 2)


def test_locator_texts_round_trip(tmp_path: Path) -> None:
    """A row's path leads back to its file, whatever the name."""
    for raw in (b"plain", b"\xff\xfe", "ü\\x".encode(), b"a\\x41"):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)
        Path(path).write_bytes(b"")
        assert locators.from_text(locators.text(path)) == path


@pytest.fixture
def labelled(model: Model, folder: Path, tmp_path: Path) -> Path:
    """Return the labels of the folder."""
    run(model, tmp_path / "labels.csv", folder)
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("way", list(sort.Way))
def test_sorting_and_undoing(labelled: Path, folder: Path, tmp_path: Path, way: sort.Way) -> None:
    """Every answered file gets into its folder, none is overwritten, and undo leaves what was before."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    into = tmp_path / "sorted"
    placements, left_out = sort.plan(labelled, into, 0.97)
    sort.carry_out(placements, into, way, lambda *_: None)
    counts = {child.name: len(list(child.iterdir())) for child in into.iterdir() if child.is_dir()}
    assert counts == {"light": 13, "_review": 10, "_unknown": 1}
    assert left_out == 1
    assert (into / "light" / "01-2.png").exists()
    assert all((before[p.source] == p.target.read_bytes()) for p in placements)
    assert sort.undo(into) == 24
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(into.iterdir()) == []


def test_undo_never_overwrites(labelled: Path, folder: Path, tmp_path: Path) -> None:
    """A file that has come back meanwhile is not lost to an undo."""
    placements, _ = sort.plan(labelled, tmp_path / "sorted", 0)
    sort.carry_out(placements, tmp_path / "sorted", sort.Way.MOVE, lambda *_: None)
    (folder / "00.png").write_bytes(b"newer")
    with pytest.raises(OutputError, match="exists again"):
        sort.undo(tmp_path / "sorted")
    assert (folder / "00.png").read_bytes() == b"newer"


def test_undo_without_a_journal(tmp_path: Path) -> None:
    """There is nothing to undo, and that is said."""
    with pytest.raises(SourceError, match="nothing was sorted"):
        sort.undo(tmp_path)


@pytest.mark.parametrize(
    ("label_", "name"),
    [("T-shirt/top", "T-shirt_top"), ("..", "__"), (".a", "_a"), ("a\\b:c", "a_b_c"), ("x\n", "x_")],
)
def test_folder_names_are_safe(label_: str, name: str) -> None:
    """A label cannot leave its folder."""
    assert sort.folder_name(label_) == name


def test_the_gallery_holds_every_row_and_no_markup(labelled: Path, tmp_path: Path) -> None:
    """All rows are in the page as data; a file name with a script in it stays text; nothing is fetched."""
    assert write_gallery(labelled, tmp_path / "g.html", lambda *_: None) == 25
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    entries = json.loads(data)
    assert len(entries) == 25
    assert sum(bool(entry[5]) for entry in entries) == 24
    assert any("<script>" in entry[0] for entry in entries)
    assert page.count("<script") == 2
    assert not re.search(r"https?://", page)


def test_rows_survive_a_record() -> None:
    """A row is what its columns say."""
    row = Row("a", Status.OK, (("x", "0.9000"), ("y", "0.1000")), "")
    names = ["path", "status", "label", "confidence", "label_2", "confidence_2", "error"]
    assert Row.from_record(dict(zip(names, row.cells(2), strict=True))) == row
