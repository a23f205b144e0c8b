"""Shards of the inputs, and their merge."""

from pathlib import Path

import pytest

from edge_fm_runtime.batch.inputs import find
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options, RowOptions, Shard
from edge_fm_runtime.batch.outputs import shards
from edge_fm_runtime.errors import SourceError
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


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", ""])
def test_shards_that_are_none(text: str) -> None:
    """A shard that makes no sense is a sentence."""
    with pytest.raises(SourceError, match="3/16"):
        Shard.parse(text)
