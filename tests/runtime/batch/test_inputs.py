"""Inputs of a labelling run: folders, archives, lists, patterns and arriving files."""

import io
import os
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fm_runtime.batch import sort, watch
from edge_fm_runtime.batch.inputs import find, locators
from edge_fm_runtime.batch.label import LabelSummary, Model
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.status import Status
from tests.runtime.labelling import DARK, PNG, run


def test_zip_and_tar_members_are_inputs(model: Model, tmp_path: Path) -> None:
    """Archive members are labelled in place; hidden and damaged ones as in a folder."""
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
    from edge_fm_runtime.image.guard import Limits

    options = Options(RowOptions(limits=Limits(max_bytes=2_000_000)))
    run(model, tmp_path / "out.csv", tmp_path / "a.zip", tmp_path / "b.tar", options=options)
    found = {row.path.removeprefix(f"{tmp_path}/"): row.status for row in files.read(tmp_path / "out.csv")}
    assert found == {
        "a.zip/x.png": "ok",
        "a.zip/deep/y.png": "ok",
        "a.zip/../up.png": "ok",
        "a.zip/bomb.png": "too_large",
        "b.tar/t.png": "ok",
    }


def test_damaged_archives(model: Model, tmp_path: Path) -> None:
    """A file that is no archive is an error; a damaged or encrypted member is a row."""
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
    assert [row.status for row in files.read(tmp_path / "out.csv")] == ["unreadable", "ok"]
    (tmp_path / "in").mkdir()
    (tmp_path / "a.zip").rename(tmp_path / "in" / "a.zip")
    run(model, tmp_path / "out.csv", tmp_path / "in")
    (row,) = files.read(tmp_path / "out.csv")
    assert (row.status, "zip" in row.error) == (Status.UNSUPPORTED, True)


def test_lists_patterns_and_standard_input(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@list`, NUL-separated standard input and patterns name files; missing ones are kept."""
    (tmp_path / "list.txt").write_bytes(f"{folder}/00.png\r\n\n{folder}/gone.png\n{folder}/00.png\n".encode())
    assert [Path(p).name for p in find.find([f"@{tmp_path}/list.txt"])] == ["00.png", "gone.png"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f'{folder}/a,"b\n<script>.png\0'.encode())))
    assert [Path(p).name for p in find.find(["-"])] == ['a,"b\n<script>.png']
    assert len(find.find([f"{folder}/0*.png"])) == 10
    assert len(find.find([f"{folder}/**/0*.png"])) == 11
    for wrong in ("@none.txt", f"{folder}/none*.png"):
        with pytest.raises(SourceError):
            find.find([wrong])


@pytest.mark.slow
def test_watching_waits_until_a_file_is_written(model: Model, tmp_path: Path) -> None:
    """A growing file is labelled only once it has settled; an empty folder is accepted."""
    folder, out = tmp_path / "in", tmp_path / "out.csv"
    folder.mkdir()
    reports: list[LabelSummary] = []
    hooks = watch.WatchHooks(listener=lambda *_: None, report=reports.append, rounds=14)
    watcher = threading.Thread(target=watch.watch, args=(model, [str(folder)], out, Options(), hooks))
    watcher.start()
    with (folder / "growing.png").open("wb") as file:
        for position in range(0, len(PNG), 20):
            file.write(PNG[position : position + 20])
            file.flush()
            time.sleep(0.3)
            assert not out.exists()
    watcher.join()
    assert [summary.by_status for summary in reports] == [{Status.OK: 1}]
    assert [row.status for row in files.read(out)] == ["ok"]


@pytest.mark.parametrize("exists", [True, False])
def test_locator_texts_round_trip(tmp_path: Path, exists: bool) -> None:
    """A row's path leads back to its file, whatever the name, also beside names that look like it."""
    names = [
        b"plain",
        b"\xff\xfe",
        "ü\\x".encode(),
        b"a\\x41",
        b"\xff",
        b"\\xff",
        b"\\x5cxff",
        b"\\x5c",
        b"\\\xff",
    ]
    paths = [os.fsdecode(os.fsencode(tmp_path) + b"/" + name) for name in names]
    for path in paths if exists else ():
        Path(path).write_bytes(b"")
    assert [locators.from_text(locators.text(path)) for path in paths] == paths


@given(
    st.lists(st.sampled_from([b"\\", b"x", b"f", b"5", b"c", b"\xff", b"\xc3", b"\xa9", b"8"]), max_size=12)
)
def test_no_two_names_have_one_text(parts: list[bytes]) -> None:
    """The text of any bytes has no escape that was not made from them: it reads back as the same bytes."""
    locator = os.fsdecode(b"no-such-folder/" + b"".join(parts))
    assert locators.from_text(locators.text(locator)) == locator
    locators.text(locator).encode()


def test_a_table_of_an_older_version_still_leads_to_its_files(tmp_path: Path) -> None:
    """A path whose text has a bare escape is that file if it is the only one."""
    (tmp_path / "\\xff.png").write_bytes(b"")
    old_text = f"{tmp_path}/\\xff.png"
    assert locators.from_text(old_text) == old_text


def test_of_two_members_with_one_name_the_last_counts(model: Model, tmp_path: Path) -> None:
    """An archive to which a file was added again has one row for it, of the bytes of `tar -x`."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for data in (DARK, PNG):
            entry = tarfile.TarInfo("x.png")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    run(model, tmp_path / "out.csv", tmp_path / "a.tar")
    (row,) = files.read(tmp_path / "out.csv")
    assert (row.path, row.ranking[0][0]) == (f"{tmp_path}/a.tar/x.png", "light")


def test_two_names_that_look_alike_have_two_rows(model: Model, tmp_path: Path) -> None:
    r"""The byte 0xFF and the text `\xff` are told apart in the table, and by `sort`."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in ((b"\xff.png", PNG), (b"\\xff.png", DARK)):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(data)
    run(model, tmp_path / "out.csv", folder)
    found = {
        row.path.removeprefix(f"{folder}/"): row.ranking[0][0] for row in files.read(tmp_path / "out.csv")
    }
    assert found == {"\\xff.png": "light", "\\x5cxff.png": "dark"}
    placements = sort.plan(tmp_path / "out.csv", tmp_path / "sorted", sort.Way.COPY).placements
    assert {os.fsencode(p.source.name): p.target.parent.name for p in placements} == {
        b"\xff.png": "light",
        b"\\xff.png": "dark",
    }


def test_a_list_that_never_ends_is_refused(tmp_path: Path) -> None:
    """An endless device, a pipe that nobody writes to, and a line that fills the memory are no lists."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "line").write_bytes(b"x" * 3_000_000)
    for name, reason in (
        ("/dev/zero", "is a device"),
        ("/dev/null", "is a device"),
        (tmp_path / "pipe", "give - and redirect it"),
        (tmp_path / "line", "a line of more than 1,048,576 bytes"),
        ("/proc/self/mem", "cannot be read as a list"),
    ):
        with pytest.raises(SourceError, match=reason):
            find.find([f"@{name}"])


def test_a_pipe_of_the_shell_is_a_list(tmp_path: Path) -> None:
    """`@<(find ...)` of a shell gives the path of an open pipe, which is read to its end."""
    reader, writer = os.pipe()
    os.write(writer, b"a.png\nb.png\n")
    os.close(writer)
    assert find.find([f"@/dev/fd/{reader}"]) == ["a.png", "b.png"]
    os.close(reader)
