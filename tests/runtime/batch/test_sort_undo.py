"""Undo of a sort: no last copy is removed, and no torn line or half-written file blocks the rest."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_fm_runtime.batch import sort, sort_undo
from edge_fm_runtime.batch.label import Model
from tests.conftest import RunCli
from tests.runtime.labelling import run

SortBy = Callable[[sort.Way], tuple[Path, list[sort.Placement]]]


@pytest.fixture
def sorted_by(model: Model, folder: Path, tmp_path: Path) -> SortBy:
    """Return a function that sorts the labelled folder."""
    run(model, tmp_path / "labels.csv", folder)

    def by(way: sort.Way) -> tuple[Path, list[sort.Placement]]:
        into = tmp_path / "sorted"
        placements = sort.plan(tmp_path / "labels.csv", into, way).placements
        sort.carry_out(placements, into, way, lambda *_: None)
        return into, placements

    return by


def test_the_last_copy_is_kept(sorted_by: SortBy, cli: RunCli) -> None:
    """A copy whose original is gone or differs stays, is named, and is undone once the original is back."""
    into, placements = sorted_by(sort.Way.COPY)
    gone, changed = placements[0], placements[1]
    data = gone.source.read_bytes()
    gone.source.unlink()
    changed.source.write_bytes(b"edited since")
    done = cli("sort", "--undo", "--into", into)
    assert done.code == 1
    assert str(gone.target) in done.err
    assert str(changed.target) in done.err
    assert gone.target.read_bytes() == data
    assert [p for p in placements if p.target.exists()] == [gone, changed]
    gone.source.write_bytes(data)
    changed.source.write_bytes(changed.target.read_bytes())
    assert cli("sort", "--undo", "--into", into).code == 0
    assert list(into.iterdir()) == []


def test_a_link_is_removed_only_while_it_leads_to_its_source(sorted_by: SortBy) -> None:
    """A link that somebody replaced by a file, and one whose source is gone, stay."""
    into, placements = sorted_by(sort.Way.LINK)
    replaced, dangling = placements[0], placements[1]
    replaced.target.unlink()
    replaced.target.write_bytes(b"edited")
    dangling.source.unlink()
    result = sort_undo.undo(into)
    assert {path for path, _ in result.kept} == {replaced.target, dangling.target}
    assert replaced.target.read_bytes() == b"edited"
    assert result.undone == len(placements) - 2


def test_a_hard_link_is_not_taken_for_a_copy(sorted_by: SortBy) -> None:
    """A target that is the same file as its source stays, as do the bytes."""
    into, placements = sorted_by(sort.Way.COPY)
    linked = placements[0]
    linked.target.unlink()
    linked.target.hardlink_to(linked.source)
    assert [path for path, _ in sort_undo.undo(into).kept] == [linked.target]
    assert linked.target.samefile(linked.source)


def test_a_sorted_folder_that_was_moved_is_undone(sorted_by: SortBy) -> None:
    """The journal is followed where the folder is now, not where it was."""
    into, placements = sorted_by(sort.Way.MOVE)
    elsewhere = into.rename(into.with_name("elsewhere"))
    assert sort_undo.undo(elsewhere).undone == len(placements)
    assert all(placement.source.is_file() for placement in placements)


def test_the_longest_names_are_copied_and_undone(tmp_path: Path) -> None:
    """A file name of 255 bytes leaves room for the name under which it is written at first."""
    source = tmp_path / ("n" * 251 + ".png")
    source.write_bytes(b"data")
    into = tmp_path / "sorted"
    placement = sort.Placement(source, into / "light" / source.name)
    sort.carry_out([placement], into, sort.Way.COPY, lambda *_: None)
    assert placement.target.read_bytes() == b"data"
    assert sort_undo.undo(into) == sort_undo.UndoResult(undone=1, kept=(), torn=0)


def test_a_file_that_cannot_go_back_holds_up_no_other(sorted_by: SortBy) -> None:
    """A picture whose folder has become a file is kept and named; the rest is undone."""
    into, placements = sorted_by(sort.Way.MOVE)
    blocked = [placement for placement in placements if placement.source.parent.name == "sub"]
    for folder in {placement.source.parent for placement in blocked}:
        folder.rmdir()
        folder.write_bytes(b"a file")
    result = sort_undo.undo(into)
    assert blocked
    assert {path for path, _ in result.kept} == {placement.target for placement in blocked}
    assert result.undone == len(placements) - len(blocked)
    assert all(placement.target.is_file() for placement in blocked)


def test_a_move_never_overwrites(tmp_path: Path) -> None:
    """A target that appeared after the plan was made is refused, and both files stay."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"mine")
    target.write_bytes(b"yours")
    with pytest.raises(FileExistsError):
        sort_undo.move(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"mine", b"yours")


@pytest.mark.parametrize(
    "torn",
    [
        '{"way": "copy", "sou',
        '{"way": [], "source": "/a", "target": "/b"}',
        '{"way": "copy"}',
        "\0\0\0",
        "[1, 2]",
        '{"way": 1e999}',
    ],
)
def test_a_torn_line_is_reported_and_blocks_nothing(sorted_by: SortBy, torn: str, cli: RunCli) -> None:
    """A line cut by a kill or a full disk is counted; the lines around it are undone."""
    into, placements = sorted_by(sort.Way.COPY)
    journal = into / sort_undo.JOURNAL
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], torn, *lines[3:], torn]), encoding="utf-8")
    done = cli("sort", "--undo", "--into", into)
    assert done.code == 1
    assert "2 lines" in done.err
    assert f"{len(placements)} files" in done.out
    assert not any(placement.target.exists() for placement in placements)


def test_a_sort_continues_after_a_torn_line(sorted_by: SortBy, folder: Path) -> None:
    """Records that are appended behind a torn line can be undone."""
    into, placements = sorted_by(sort.Way.COPY)
    journal = into / sort_undo.JOURNAL
    journal.write_text(journal.read_text(encoding="utf-8") + '{"way": "co', encoding="utf-8")
    more = [sort.Placement(placements[0].source, into / "light" / "again.png")]
    sort.carry_out(more, into, sort.Way.COPY, lambda *_: None)
    result = sort_undo.undo(into)
    assert (result.undone, result.torn) == (len(placements) + 1, 1)


def test_a_move_that_was_killed_between_filesystems(sorted_by: SortBy) -> None:
    """The half-written copy goes, its whole source stays, and every other file goes back."""
    into, placements = sorted_by(sort.Way.MOVE)
    half, whole = placements[0], placements[1]
    data = half.target.read_bytes()
    half.source.write_bytes(data)
    half.target.write_bytes(data[: len(data) // 2])
    whole.source.write_bytes(whole.target.read_bytes())  # killed before the source was removed
    sort_undo.partial_path(placements[2].target).write_bytes(b"begun")
    result = sort_undo.undo(into)
    assert result.kept == ()
    assert half.source.read_bytes() == data
    assert all(placement.source.is_file() for placement in placements)
    assert list(into.iterdir()) == []


def test_a_move_between_filesystems_is_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed copy across filesystems leaves the source and no target."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"data")
    rename = Path.rename

    def across(self: Path, other: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, other)

    def full(_from: object, to: Path) -> None:
        Path(to).write_bytes(b"da")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", across)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy2", full)
        with pytest.raises(OSError, match="No space"):
            sort_undo.move(source, target)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    sort_undo.move(source, target)
    assert target.read_bytes() == b"data"
    assert not source.exists()


def test_a_file_that_came_back_is_never_overwritten(sorted_by: SortBy) -> None:
    """A source that exists again with other bytes keeps them, and the moved file stays where it is."""
    into, placements = sorted_by(sort.Way.MOVE)
    placements[0].source.write_bytes(b"newer")
    moved = placements[0].target.read_bytes()
    result = sort_undo.undo(into)
    assert [path for path, _ in result.kept] == [placements[0].target]
    assert placements[0].source.read_bytes() == b"newer"
    assert placements[0].target.read_bytes() == moved
    (line,) = (into / sort_undo.JOURNAL).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["target"] == str(placements[0].target)
