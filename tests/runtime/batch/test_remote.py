"""Inputs at URLs: listed, fetched with retries, and given a row when they fail."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_fm_runtime.batch.inputs import find, locators, remote
from edge_fm_runtime.batch.inputs.fetch import Fetcher
from edge_fm_runtime.batch.label import Model, label
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import InputError, OutputError, SourceError
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.status import Status
from tests.runtime.labelling import DARK, PNG, tar_of
from tests.s3 import S3, Fault, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """Return a server with a bucket `b-1` of pictures: below `in/`, and in a tar archive."""
    with served() as server:
        system, _ = remote.place("s3://b-1/")
        system.mkdir("b-1")
        for index in range(12):
            system.pipe(f"b-1/in/{index:02}.png", PNG if index % 2 else DARK)
        system.pipe("b-1/in/sub/deep/x.png", PNG)
        system.pipe("b-1/in/.hidden.png", PNG)
        system.pipe("b-1/in/empty.png", b"")
        system.pipe("b-1/part.tar", tar_of({"a.png": PNG, "sub/b.png": DARK, ".hidden.png": PNG}))
        yield server


@pytest.fixture(autouse=True)
def _sound(s3: S3) -> None:
    s3.fault = lambda _method, _path: None


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_WAIT_S", 0.0)


def fetched(url: str, limits: Limits = Limits()) -> bytes:  # noqa: B008
    """Return what a worker would get."""
    fetcher = Fetcher(limits)
    fetch = fetcher.begin(url)
    fetch.wait(lambda: None)
    try:
        return fetch.read()
    finally:
        fetcher.close()


def test_a_folder_a_pattern_an_archive_and_a_list_at_urls(s3: S3, tmp_path: Path) -> None:
    """URLs name folders, patterns, archives and lists as paths do; rows have the URL."""
    below = [*(f"s3://b-1/in/{index:02}.png" for index in range(12)), "s3://b-1/in/sub/deep/x.png"]
    assert sorted(find.find(["s3://b-1/in"])) == sorted([*below, "s3://b-1/in/empty.png"])
    assert find.find(["s3://b-1/in/03.png"]) == ["s3://b-1/in/03.png"]
    assert find.find(["s3://b-1/in/0*.png"]) == below[:10]
    members = find.find(["s3://b-1/*.tar"])
    assert [locators.text(member) for member in members] == [
        "s3://b-1/part.tar/a.png",
        "s3://b-1/part.tar/sub/b.png",
    ]
    (tmp_path / "list.txt").write_text("s3://b-1/in/03.png\ns3://b-1/gone.png\n")
    assert find.find([f"@{tmp_path}/list.txt"]) == ["s3://b-1/gone.png", "s3://b-1/in/03.png"]
    assert s3.requests


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://b-1/none", "there is nothing at s3://b-1/none"),
        ("s3://no-bucket/x", "there is nothing at"),
        ("s3://b-1/none*.tar", "nothing matches"),
        ("zz://host/x", "Protocol not known"),
    ],
)
def test_a_missing_remote_input_is_named(url: str, said: str) -> None:
    """A URL that names nothing is refused with the URL in the sentence."""
    with pytest.raises(SourceError, match=said):
        find.find([url])


def test_refused_credentials_are_named(s3: S3) -> None:
    """Refused credentials are reported at once, without a retry."""
    s3.fault = lambda _method, _path: Fault.REFUSED
    before = s3.requests
    with pytest.raises(SourceError, match="access to s3://b-1/in is refused: check the credentials"):
        find.find(["s3://b-1/in"])
    assert s3.requests - before <= 2


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.SILENT, Fault.CUT])
def test_a_fault_now_and_then_costs_nothing(s3: S3, fault: Fault) -> None:
    """A server that errs, is silent or cuts a download twice still gives the bytes at the third try."""
    left = Counter({"/b-1/in/03.png": 2})

    def choose(_method: str, path: str) -> Fault | None:
        path = path.partition("?")[0]
        left[path] -= 1
        return fault if left[path] >= 0 else None

    s3.fault = choose
    assert fetched("s3://b-1/in/03.png") == PNG


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.ERROR, Status.UNREADABLE), (Fault.CUT, Status.UNREADABLE), (Fault.SILENT, Status.TIMEOUT)],
)
def test_a_fault_that_stays_is_a_status(s3: S3, fault: Fault, status: Status) -> None:
    """An input that cannot be fetched after all tries gets its status."""
    s3.fault = lambda _method, path: fault if "03.png" in path else None
    with pytest.raises(InputError, match=f"could not be fetched in {remote.TRIES} tries") as error:
        fetched("s3://b-1/in/03.png")
    assert error.value.status is status


def test_sizes_at_urls() -> None:
    """An empty, a too large and a missing object get their statuses without a download."""
    assert fetched("s3://b-1/in/empty.png") == b""
    with pytest.raises(InputError) as error:
        fetched("s3://b-1/in/03.png", Limits(max_bytes=len(PNG) - 1))
    assert error.value.status is Status.TOO_LARGE
    assert fetched("s3://b-1/in/03.png", Limits(max_bytes=len(PNG))) == PNG
    with pytest.raises(InputError) as error:
        fetched("s3://b-1/gone.png")
    assert error.value.status is Status.MISSING


def test_urls_are_labelled_like_files(s3: S3, tiny_path: Path, tmp_path: Path) -> None:
    """Objects and archive members at URLs get the rows of the same bytes on disk."""
    local = tmp_path / "in"
    (local / "sub" / "deep").mkdir(parents=True)
    for index in range(12):
        (local / f"{index:02}.png").write_bytes(PNG if index % 2 else DARK)
    (local / "sub" / "deep" / "x.png").write_bytes(PNG)
    (local / "empty.png").write_bytes(b"")
    model, options = Model(tiny_path.read_bytes()), Options(row=RowOptions(top=2), workers=2)
    label(model, [str(local)], tmp_path / "here.csv", options, lambda *_: None)
    label(model, ["s3://b-1/in"], tmp_path / "afar.csv", options, lambda *_: None)
    here = (tmp_path / "here.csv").read_text().replace(str(local), "s3://b-1/in")
    assert (tmp_path / "afar.csv").read_text() == here
    label(model, ["s3://b-1/part.tar"], tmp_path / "tar.csv", options, lambda *_: None)
    rows = {row.path: (row.status, row.ranking[0][0]) for row in files.read(tmp_path / "tar.csv")}
    assert rows == {
        "s3://b-1/part.tar/a.png": (Status.OK, "light"),
        "s3://b-1/part.tar/sub/b.png": (Status.OK, "dark"),
    }
    assert s3.requests


def test_tar_members_that_are_gone_cut_or_sparse(tiny_path: Path, tmp_path: Path) -> None:
    """Members are read by range; one that is cut off or missing gets its row."""
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_of({"1.png": PNG, "2.png": DARK}))
    opener = locators.Opener(Limits())
    first, second = find.find([str(archive)])
    assert opener.open(first).read() == PNG
    with archive.open("rb+") as file:
        file.truncate(int(second.split("\0")[2]) + 5)
    with pytest.raises(InputError, match="the archive ends within it"):
        opener.open(second).read()
    opener.close()
    os.unlink(archive)  # noqa: PTH108
    output = tmp_path / "out.csv"
    (tmp_path / "list.txt").write_bytes(b"\0".join(os.fsencode(name) for name in (archive,)))
    label(Model(tiny_path.read_bytes()), [f"@{tmp_path}/list.txt"], output, Options(), lambda *_: None)
    assert [row.status for row in files.read(output)] == [Status.MISSING]
    sparse = locators.Opener(Limits())
    with pytest.raises(InputError, match="sparse"):
        sparse.open("\0".join((str(archive), "s.png", "512", "-1"))).read()


def test_a_folder_at_a_url_is_written_whole_or_refused(s3: S3) -> None:
    """A write to a bucket is retried until whole; refused credentials are reported."""
    folder = Folder("s3://b-1/results/")
    assert folder.names() == []
    assert folder.read("a.bin") is None
    failing = iter([Fault.ERROR, Fault.SILENT])
    s3.fault = lambda method, _path: next(failing, None) if method == "PUT" else None
    folder.write("a.bin", b"whole")
    assert (folder.names(), folder.read("a.bin"), folder.has("b.bin")) == (["a.bin"], b"whole", False)
    folder.delete("a.bin")
    assert folder.names() == []
    s3.fault = lambda method, _path: Fault.REFUSED if method == "PUT" else None
    with pytest.raises(OutputError, match="access to s3://b-1/results/ is refused: check the credentials"):
        folder.write("a.bin", b"whole")


def test_a_local_folder_shows_only_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that could not be written leaves the old one, nothing half-written, and a sentence."""
    folder = Folder(str(tmp_path / "out"))
    folder.create()
    folder.write("a.bin", b"old")

    def full(_path: str, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder._system, "pipe_file", full)
    with pytest.raises(OutputError, match="No space left on device"):
        folder.write("a.bin", b"new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.bin"]
    assert folder.read("a.bin") == b"old"
