"""Faults that end a run before a cluster is started."""

from pathlib import Path

import pytest

from edge_fm_runtime.cluster import manifest, plan
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError
from tests.conftest import RunCli
from tests.runtime.labelling import PNG

pytestmark = pytest.mark.slow


def test_lists_that_are_refused(tmp_path: Path) -> None:
    """A list without the column, with empty paths or without rows is refused, and none is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, table, message in (
        ("other.parquet", {"file": ["a.png"]}, "has no column 'path', only 'file'"),
        ("null.parquet", {"path": ["a.png", None]}, "'path' is empty or no text"),
        ("number.parquet", {"path": [1, 2]}, "'path' is empty or no text"),
        ("empty.parquet", {"path": pa.array([], pa.string())}, "nothing to label"),
    ):
        pq.write_table(pa.table(table), tmp_path / name)
        with pytest.raises(SourceError, match=message):
            manifest.write([str(tmp_path / name)], str(tmp_path / "made.parquet"), lambda *_: None)
    (tmp_path / "none.parquet").write_bytes(b"no Parquet")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    for name, message in (
        ("none.parquet", "cannot be read as Parquet"),
        ("gone.parquet", "there is no list of inputs"),
        ("empty.txt", "names no file"),
    ):
        with pytest.raises(SourceError, match=message):
            manifest.write([str(tmp_path / name)], str(tmp_path / "made.parquet"), lambda *_: None)
    assert not (tmp_path / "made.parquet").exists()


def test_fresh_deletes_no_foreign_files(tmp_path: Path) -> None:
    """Parts or a plan of another program are refused, also with --fresh, and stay."""
    for names in (["part-00000-1f0c.snappy.parquet"], ["_manifest.json"]):
        folder = tmp_path / names[0]
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"{}")
        with pytest.raises(OutputError, match="choose another folder"):
            plan.delete_run(Folder(str(folder)))
        assert [path.name for path in folder.iterdir()] == names


def test_no_cluster_at_the_address(cli: RunCli, tmp_path: Path) -> None:
    """An address where nothing listens is refused at once, with a remedy."""
    (tmp_path / "a.png").write_bytes(PNG)
    result = cli(
        "label", tmp_path / "a.png", "-o", tmp_path / "out", "--engine", "ray", "--address", "127.0.0.1:9"
    )
    assert result.code == 2
    assert "there is no Ray cluster at 127.0.0.1:9" in result.err
    assert "ray start --head" in result.err


def test_options_that_the_engine_lacks_are_refused(cli: RunCli, tmp_path: Path) -> None:
    """Options without a meaning on a cluster, or a file as output, end with exit code 2."""
    for arguments, message in (
        (("-o", tmp_path / "a.csv"), "the output is a folder"),
        (("-o", tmp_path / "out", "--shard", "1/2"), "does not go with --shard"),
        (("-o", tmp_path / "out", "--watch"), "does not go with --watch"),
    ):
        result = cli("label", tmp_path, *arguments, "--engine", "ray")
        assert (result.code, message in result.err) == (2, True), result.err
    result = cli("label", tmp_path, "-o", tmp_path / "a.csv", "--address", "127.0.0.1:1")
    assert (result.code, "add --engine ray" in result.err) == (2, True)
    result = cli("label", tmp_path, "-o", tmp_path / "a.csv", "--workers", "257")
    assert (result.code, "one machine has at most 256" in result.err) == (2, True)
    result = cli("merge", tmp_path, "-o", tmp_path / "a.csv")
    assert (result.code, "no output of 'edge-fm label --engine ray'" in result.err) == (2, True)
    result = cli("manifest", tmp_path, "-o", tmp_path / "a.csv")
    assert (result.code, "does not end in .parquet" in result.err) == (2, True)
