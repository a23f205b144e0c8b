"""Labelling on a Ray cluster from and to object storage."""

from collections import Counter
from pathlib import Path

import pytest

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.status import Status
from tests.runtime.cluster_runs import Settings, label, locally, merged
from tests.runtime.labelling import DARK, PNG, tar_of
from tests.s3 import S3, Fault

pytestmark = [
    pytest.mark.slow,
    # Ray's own: it leaves sockets and files to the end of the process, and warns of its future.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.usefixtures("ray")
def test_refused_credentials_stop_a_run_over_a_list(model: Model, s3: S3, tmp_path: Path) -> None:
    """A run stops before it writes parts if it cannot reach any input of the list."""
    (tmp_path / "list.txt").write_text("s3://b-3/a.png\ns3://b-3/b.png\n")
    s3.fault = lambda _method, path: Fault.REFUSED if path.startswith("/b-3") else None
    try:
        with pytest.raises(EdgeFmError, match="is refused: check the credentials"):
            label(model, [tmp_path / "list.txt"], tmp_path / "out")
    finally:
        s3.fault = lambda _method, _path: None
    assert not list((tmp_path / "out").glob("part-*"))


@pytest.mark.usefixtures("ray")
def test_object_storage_that_fails_sometimes(model: Model, s3: S3, tmp_path: Path) -> None:
    """Every input has a row although the storage fails; one that never arrives is unreadable."""
    system, _ = remote.place("s3://b-2/")
    system.mkdir("b-2")
    for index in range(30):
        system.pipe(f"b-2/in/{index:02}.png", PNG if index % 2 else DARK)
    system.pipe("b-2/part.tar", tar_of({f"{index}.png": PNG for index in range(10)}))
    requests: Counter[str] = Counter()
    faults = (Fault.ERROR, Fault.CUT, Fault.SILENT)

    def choose(method: str, path: str) -> Fault | None:
        if "/in/07.png" in path:
            return Fault.ERROR
        requests[method] += 1
        # The first tries of every fifth download and of every third part.
        if method == "GET" and "in/" in path and requests[method] % 5 == 0:
            return faults[requests[method] // 5 % 3]
        return Fault.ERROR if method == "PUT" and requests[method] % 3 == 0 else None

    s3.fault = choose
    try:
        done = label(model, ["s3://b-2/in", "s3://b-2/*.tar"], "s3://b-2/out", Settings(size=8))
        bytes_merged = merged("s3://b-2/out", tmp_path)
    finally:
        s3.fault = lambda _method, _path: None
    assert done.by_status == {Status.OK: 39, Status.UNREADABLE: 1}
    rows = {row.path: row for row in files.read(tmp_path / "merged.csv")}
    assert len(rows) == 40
    assert rows["s3://b-2/in/07.png"].status is Status.UNREADABLE
    assert f"could not be fetched in {remote.TRIES} tries" in rows["s3://b-2/in/07.png"].error
    sound = [line for line in bytes_merged.splitlines() if b"07.png" not in line]
    local = locally(model, ["s3://b-2/in", "s3://b-2/*.tar"], tmp_path).splitlines()
    assert sound == [line for line in local if b"07.png" not in line]
