"""Sorting under difficult names, from doubled rows, and after an interruption."""

import os
from pathlib import Path

import pytest

from edge_fm_runtime.batch import sort, sort_undo
from edge_fm_runtime.errors import OutputError
from tests.conftest import RunCli

KOREAN = "가" * 200
"""A label of 600 bytes."""


def table_of(folder: Path, rows: list[tuple[Path, str]]) -> Path:
    """Return a table of files with their labels."""
    lines = ["path,status,label,confidence,error", *(f'"{path}",ok,{label},0.9000,' for path, label in rows)]
    table = folder / "labels.csv"
    table.write_text("\r\n".join([*lines, ""]), encoding="utf-8", newline="")
    return table


def sources_of(folder: Path, *names: str) -> list[Path]:
    """Return files, each with its own path as its bytes."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return [folder / name for name in names]


def sort_all(table: Path, into: Path, way: sort.Way = sort.Way.COPY) -> sort.SortPlan:
    """Sort a table, and return what the plan was."""
    plan = sort.plan(table, into, way)
    sort.carry_out(plan.placements, into, way, lambda *_: None)
    return plan


def test_labels_of_600_bytes_have_folders_of_their_own(tmp_path: Path) -> None:
    """Two labels that are alike in their first 200 syllables get two folders of whole characters."""
    first, second = sources_of(tmp_path, "a.png", "b.png")
    table = table_of(tmp_path, [(first, KOREAN + "나"), (second, KOREAN + "다")])
    plan = sort_all(table, tmp_path / "sorted")
    names = {placement.target.parent.name for placement in plan.placements}
    assert len(names) == 2
    for name in names:
        assert 240 <= len(os.fsencode(name)) <= 255
        assert name.startswith("가" * 80)
    assert [placement.target.is_file() for placement in plan.placements] == [True, True]
    assert sort_undo.undo(tmp_path / "sorted").undone == 2
    assert list((tmp_path / "sorted").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".png", "각" * 83 + "n.jpg", "e." + "x" * 253, "." + "h" * 254, "n" * 255]
)
@pytest.mark.parametrize("way", list(sort.Way))
def test_names_of_255_bytes_that_collide(tmp_path: Path, name: str, way: sort.Way) -> None:
    """Twelve files of one longest name keep their bytes in one folder, and go back where they were."""
    files = sources_of(tmp_path, *(f"{number}/{name}" for number in range(12)))
    table = table_of(tmp_path, [(path, "label") for path in files])
    into = tmp_path / "sorted"
    before = {path: path.read_bytes() for path in files}
    plan = sort_all(table, into, way)
    assert len({placement.target for placement in plan.placements}) == 12
    for placement in plan.placements:
        assert placement.target.read_bytes() == before[placement.source]
        assert Path(name).suffix in {"", placement.target.suffix} or len(name) - len(Path(name).stem) > 32
    assert sort_undo.undo(into).undone == 12
    assert {path: path.read_bytes() for path in files} == before
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("way", list(sort.Way))
def test_a_doubled_row_is_refused_before_anything_is_done(cli: RunCli, tmp_path: Path, way: sort.Way) -> None:
    """Two rows for one file, also through a link to its folder, leave every file where it is."""
    first, second = sources_of(tmp_path, "in/a.png", "in/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for again in (first, tmp_path / "in" / ".." / "in" / "a.png", tmp_path / "link" / "a.png"):
        table = table_of(tmp_path, [(first, "x"), (second, "x"), (again, "y")])
        result = cli("sort", table, "--into", tmp_path / "sorted", "--by", way)
        assert result.code == 2
        assert f"two rows for '{again}'" in result.err
        assert first.is_file()
        assert second.is_file()
        assert not (tmp_path / "sorted").exists()


@pytest.mark.parametrize("way", list(sort.Way))
def test_a_sort_that_was_cut_short_is_continued(
    cli: RunCli, tmp_path: Path, way: sort.Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command does what a full disk left undone, and nothing twice."""
    files = sources_of(tmp_path, *(f"{number}.png" for number in range(6)))
    table, into = table_of(tmp_path, [(path, "x") for path in files]), tmp_path / "sorted"
    act, calls = sort._ACTIONS[way], 0

    def full_at_the_fourth(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(28, "No space left on device", str(target))
        act(source, target)

    with monkeypatch.context() as patch:
        patch.setitem(sort._ACTIONS, way, full_at_the_fourth)
        with pytest.raises(OutputError, match="No space left on device"):
            sort_all(table, into, way)
    assert cli("sort", table, "--into", into, "--by", way).code == 0
    assert sorted(path.name for path in (into / "x").iterdir()) == [path.name for path in files]
    assert "0 files sorted" in cli("sort", table, "--into", into, "--by", way).out
    assert sort_undo.undo(into).undone == 6
    assert all(path.is_file() for path in files)


def test_a_file_that_changed_since_is_sorted_again(tmp_path: Path) -> None:
    """A copy of older bytes stays, and the new bytes come beside it; another label is another folder."""
    (source,) = sources_of(tmp_path, "a.png")
    into = tmp_path / "sorted"
    sort_all(table_of(tmp_path, [(source, "x")]), into)
    source.write_text("newer bytes")
    sort_all(table_of(tmp_path, [(source, "x")]), into)
    sort_all(table_of(tmp_path, [(source, "y")]), into)
    found = {str(path.relative_to(into)): path.read_text() for path in into.glob("*/*")}
    assert found == {"x/a.png": "a.png", "x/a-2.png": "newer bytes", "y/a.png": "newer bytes"}
