"""Labelling on a Ray cluster: the same rows as in a local run."""

import json
import os
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_fm_runtime.batch.inputs import find
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.cluster import manifest, node, plan
from edge_fm_runtime.errors import EdgeFmError, OutputError, SourceError
from edge_fm_runtime.status import Status
from tests.runtime.cluster_runs import OPTIONS, RecordingListener, Settings, label, locally, merged
from tests.runtime.labelling import DARK, GREY, PNG, large_png, tar_of

pytestmark = [
    pytest.mark.slow,
    # Ray's own: it leaves sockets and files to the end of the process, and warns of its future.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with light, dark, unsure, broken, slow and foreign files, and odd names."""
    made = tmp_path / "in"
    (made / "sub").mkdir(parents=True)
    for index in range(40):
        (made / f"{index:02}.png").write_bytes(PNG if index % 2 else DARK)
    (made / "sub" / "unsure.png").write_bytes(GREY)
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (made / "slow.png").write_bytes(large_png(11_500))
    (made / "notes.txt").write_bytes(b"no picture")
    (made / "empty.png").write_bytes(b"")
    with open(os.fsencode(made) + b"/\xff.png", "wb") as file:  # noqa: PTH123  # a name that is no UTF-8
        file.write(PNG)
    return made


@pytest.mark.usefixtures("ray")
def test_the_rows_of_a_cluster_are_those_of_a_local_run(model: Model, folder: Path, tmp_path: Path) -> None:
    """Merged parts have the bytes of a local run, and a resumed run labels only the missing parts."""
    (tmp_path / "a.tar").write_bytes(tar_of({"t.png": PNG, "sub/u.png": DARK}))
    inputs, out = [folder, tmp_path / "a.tar"], tmp_path / "out"
    recorder = RecordingListener()
    done = label(model, inputs, out, recorder=recorder)
    expected = locally(model, inputs, tmp_path)
    assert merged(out, tmp_path) == expected
    assert (done.rows, done.resumed) == (48, 0)
    assert done.by_status == {
        Status.OK: 43,
        Status.UNKNOWN: 1,
        Status.TRUNCATED: 1,
        Status.TIMEOUT: 1,
        Status.UNSUPPORTED: 1,
        Status.EMPTY: 1,
    }
    assert recorder.progress[-1].inputs == (48, 48)
    assert recorder.progress[-1].shards == (5, 5)
    record = json.loads((out / plan.RECORD).read_text())
    assert record["complete"] is True
    assert record["by_status"] == {str(status): count for status, count in done.by_status.items()}
    assert record["inputs"] == [str(name) for name in inputs]

    parts = sorted(out.glob("part-*.parquet"))
    before = {part: part.stat().st_mtime_ns for part in parts}
    parts[1].unlink()
    parts[4].unlink()
    with pytest.raises(SourceError, match="2 of 5 shards have no part yet"):
        plan.complete_parts(str(out))
    again = label(model, inputs, out)
    assert (again.rows, again.resumed, again.by_status) == (48, 30, done.by_status)
    assert merged(out, tmp_path) == expected
    assert {part for part in parts if part.stat().st_mtime_ns != before[part]} == {parts[1], parts[4]}
    assert label(model, inputs, out).resumed == 48


@pytest.mark.usefixtures("ray")
def test_lists_of_inputs(model: Model, folder: Path, tmp_path: Path) -> None:
    """A list of `edge-fm manifest` is used in place; another list is sorted, with one row per path."""
    made, repeated = manifest.write([str(folder)], str(tmp_path / "list.parquet"), lambda *_: None)
    assert (made.rows, repeated) == (46, 0)
    assert [
        locator for start in range(0, 46, 7) for locator in manifest.read(made, start, min(start + 7, 46))
    ] == (find.find([str(folder)]))
    out = tmp_path / "out"
    label(model, [tmp_path / "list.parquet"], out, Settings(size=20))
    assert merged(out, tmp_path) == locally(model, [folder], tmp_path)
    assert not (out / plan.INPUTS).exists()

    names = [str(folder / f"{index:02}.png") for index in (3, 1, 2, 1)]
    (tmp_path / "list.txt").write_text("\n".join(names))
    recorder = RecordingListener()
    assert label(model, [tmp_path / "list.txt"], tmp_path / "out2", recorder=recorder).rows == 3
    assert recorder.notices == ["1 inputs were named more than once; each has one row"]
    assert merged(tmp_path / "out2", tmp_path) == locally(model, [f"@{tmp_path / 'list.txt'}"], tmp_path)
    for name in (f"@{tmp_path}/list.txt", f"@{tmp_path}/list.parquet"):  # the spelling of a local run
        again, _ = manifest.write([name], str(tmp_path / "again.parquet"), lambda *_: None)
        assert again.rows == (3 if name.endswith("txt") else 46)

    made, _ = manifest.write(names[:1], str(tmp_path / "list.parquet"), lambda *_: None)
    with pytest.raises(OutputError, match="has changed since"):
        label(model, [tmp_path / "list.parquet"], out, Settings(size=20))


@pytest.mark.usefixtures("ray")
def test_another_runs_folder_is_left_alone(model: Model, tmp_path: Path) -> None:
    """Parts of another run are refused and stay; --fresh deletes them, and no other file."""
    pictures = tmp_path / "in"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(PNG)
    out = tmp_path / "out"
    label(model, [pictures], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fewer = Options(row=RowOptions(top=1))
    for other, given, size, options, message in (
        (Model(model.data, ("a", "b")), pictures, 10, OPTIONS, "another model or other options"),
        (model, pictures, 10, fewer, "another model or other options"),
        (model, pictures / "a.png", 10, OPTIONS, "other inputs"),
        (model, pictures, 5, OPTIONS, "shards of another size"),
    ):
        with pytest.raises(OutputError, match=message):
            label(other, [given], out, Settings(size=size, options=options))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "mine.txt").write_text("stays")
    fresh = Options(row=RowOptions(top=1), fresh=True)
    assert label(model, [pictures], out, Settings(options=fresh)).resumed == 0
    assert (out / "mine.txt").read_text() == "stays"
    (out / plan.RECORD).unlink()
    with pytest.raises(OutputError, match=f"has parts but no {plan.RECORD}"):
        label(model, [pictures], out)


@pytest.mark.usefixtures("ray")
def test_a_run_is_resumed_from_another_folder(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative inputs stay relative to the folder in which the run was started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for index in range(4):
        (tmp_path / "in" / f"{index}.png").write_bytes(PNG)
    out = tmp_path / "out"
    label(model, ["in"], out, Settings(size=2))
    expected = merged(out, tmp_path)
    sorted(out.glob("part-*"))[1].unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    label(model, ["in"], out, Settings(size=2))
    assert merged(out, tmp_path) == expected


@pytest.mark.usefixtures("ray")
def test_parts_are_checked(model: Model, tmp_path: Path) -> None:
    """Merging refuses a part that lacks a row, has rows of another part, or is from another run."""
    pictures = tmp_path / "in"
    pictures.mkdir()
    for index in range(4):
        (pictures / f"{index}.png").write_bytes(PNG)
    out = tmp_path / "out"
    label(model, [pictures], out, Settings(size=2))
    first, second = sorted(out.glob("part-*"))
    whole, meta = first.read_bytes(), files.parquet_meta(first)
    rows = list(files.read(first))
    other_path = [rows[0], replace(rows[1], path=rows[1].path + "x")]
    without_digest = json.dumps({**json.loads(meta), "rows_sha256": ""})
    for bad, message in (
        (files.parquet_bytes(rows[:1], 2, meta), "has 1 rows and should have 2"),
        (files.parquet_bytes(rows[::-1], 2, meta), "twice or out of order"),
        (files.parquet_bytes(other_path, 2, meta), "was changed after it was written"),
        (files.parquet_bytes(other_path, 2, without_digest), "are not those of the inputs"),
        (second.read_bytes(), "are both shard 2/2"),
        (files.parquet_bytes(rows, 2, ""), "does not say which part it is"),
    ):
        first.write_bytes(bad)
        with pytest.raises(SourceError, match=message):
            merged(out, tmp_path)
    first.write_bytes(whole)
    assert merged(out, tmp_path) == locally(model, [pictures], tmp_path)


@pytest.mark.usefixtures("ray")
def test_versions_that_differ_stop_the_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node with another release is named before the first label, with both versions and a remedy."""
    (tmp_path / "a.png").write_bytes(PNG)
    installed = dict(node.versions())
    monkeypatch.setattr(node, "versions", lambda: (*{**installed, "onnxruntime": "9.9"}.items(),))
    with pytest.raises(
        EdgeFmError,
        match=rf"runs onnxruntime {installed['onnxruntime']} and the driver 9\.9: install the same",
    ):
        label(model, [tmp_path / "a.png"], tmp_path / "out")
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_node_that_has_left_is_not_checked(
    model: Model, tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that leaves between the listing of nodes and its check does not stop the run."""
    (tmp_path / "a.png").write_bytes(PNG)
    nodes = ray.nodes()
    monkeypatch.setattr(
        ray, "nodes", lambda: [*nodes, {**nodes[0], "NodeID": ray.NodeID.from_random().hex()}]
    )
    assert label(model, [tmp_path / "a.png"], tmp_path / "out").by_status == {Status.OK: 1}


@pytest.mark.usefixtures("ray")
def test_counts_reach_rays_metrics(model: Model, tmp_path: Path, ray: Any) -> None:
    """Ray's metrics count the inputs of a run by status."""
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(PNG)
    (tmp_path / "empty.png").write_bytes(b"")
    label(model, sorted(tmp_path.glob("*.png")), tmp_path / "out")
    port = ray.nodes()[0]["MetricsExportPort"]
    deadline_s = time.monotonic() + 60
    found: dict[str, float] = {}
    while time.monotonic() < deadline_s and not found:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:  # loopback
            for line in answer.read().decode().splitlines():
                if line.startswith("ray_edge_fm_inputs") and 'status="empty"' in line:
                    found["empty"] = float(line.rsplit(" ", 1)[1])
        time.sleep(1)
    assert found["empty"] >= 1
