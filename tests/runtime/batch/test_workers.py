"""Files that hang, exhaust memory or kill a worker cost one row each."""

import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from edge_fm_runtime.batch import label as label_module
from edge_fm_runtime.batch.label import Model, label
from edge_fm_runtime.batch.options import BATCH, Options, RowOptions
from edge_fm_runtime.batch.outputs.files import read
from edge_fm_runtime.batch.workers import pool, supervised_process
from edge_fm_runtime.batch.workers.fork_server import ForkServer
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.batch.workers.supervised_process import Chunk
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.status import Status
from tests.pictures import encoded
from tests.runtime.labelling import PNG, large_png

pytestmark = pytest.mark.slow


def folder_with(tmp_path: Path, name: str, data: bytes, others: int = 70) -> Path:
    """Return a folder of good pictures and one other file."""
    made = tmp_path / "in"
    made.mkdir()
    for index in range(others):
        (made / f"{index:03}.png").write_bytes(PNG)
    (made / name).write_bytes(data)
    return made


def statuses(path: Path) -> dict[str, Status]:
    """Return the status of each row by file name."""
    return {Path(row.path).name: row.status for row in read(path)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slow_file_is_a_timeout(model: Model, tmp_path: Path, workers: int) -> None:
    """A picture that takes longer than allowed gets `timeout`; all others are answered."""
    made = folder_with(tmp_path, "035-slow.png", large_png(11_500))
    options = Options(workers=workers, timeout_s=0.5)
    label(model, [str(made)], tmp_path / "out.csv", options, lambda *_: None)
    found = statuses(tmp_path / "out.csv")
    assert found.pop("035-slow.png") is Status.TIMEOUT
    assert set(found.values()) == {Status.OK}
    assert len(found) == 70


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a worker's memory")
def test_a_file_that_needs_too_much_memory(model: Model, tmp_path: Path) -> None:
    """An image beyond the memory limit gets `crashed`, and is retried with a larger limit."""
    made = folder_with(tmp_path, "035-large.png", large_png(10_000))
    label(model, [str(made)], tmp_path / "out.csv", Options(memory_bytes=64 * 2**20), lambda *_: None)
    found = statuses(tmp_path / "out.csv")
    assert found.pop("035-large.png") is Status.CRASHED
    assert set(found.values()) == {Status.OK}
    again = label(model, [str(made)], tmp_path / "out.csv", Options(), lambda *_: None)
    assert (again.resumed, again.by_status) == (70, {Status.OK: 71})


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the malloc thresholds are settings of glibc")
def test_the_memory_of_a_large_picture_serves_the_next(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory of a large image is reused by the next one."""
    monkeypatch.setattr(
        ForkServer, "is_possible", lambda: False
    )  # a forked worker's faults are not told to us
    picture = encoded(np.zeros((4000, 3000), np.uint8))

    def faults(pictures: int) -> int:
        made = tmp_path / f"in-{pictures}"
        made.mkdir()
        for index in range(pictures):
            (made / f"{index:02}.png").write_bytes(picture)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        label(model, [str(made)], tmp_path / f"{pictures}.csv", Options(workers=1), lambda *_: None)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before

    pages = 4000 * 3000 / resource.getpagesize()
    assert (faults(12) - faults(2)) / 10 < pages / 2


def below(pid: int) -> list[int]:
    """Return all descendants of a process: a fork server before its workers."""
    own = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return [*own, *(further for child in own for further in below(child))]


@pytest.fixture
def descendants() -> Callable[[], list[int]]:
    """Return the processes that this test has started, without those of other tests."""
    before = set(below(os.getpid()))
    return lambda: [pid for pid in below(os.getpid()) if pid not in before]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to find the workers")
@pytest.mark.parametrize(
    "loss",
    [
        (signal.SIGKILL, 1, 2),
        (signal.SIGSEGV, 1, 2),
        (signal.SIGSTOP, 1, 2),
        (signal.SIGKILL, 0, 3),
        (signal.SIGSTOP, 0, 3),
    ],
)
def test_a_lost_worker_loses_nothing(
    model: Model,
    tmp_path: Path,
    loss: tuple[signal.Signals, int, int],
    descendants: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers killed or stopped in mid-run leave the bytes of an undisturbed run."""
    kind, first, count = loss
    monkeypatch.setattr(supervised_process, "START_S", 5.0)
    made = folder_with(tmp_path, "x.png", PNG, others=1500)
    label(model, [str(made)], tmp_path / "whole.csv", Options(workers=2), lambda *_: None)
    hurt: list[int] = []

    def hurt_all(done: int, _total: int, _made: object) -> None:
        if done > 400 and not hurt:  # all at once: no input is hit again while it is tried again
            hurt.extend(descendants()[first:])
            for pid in hurt:
                os.kill(pid, kind)

    summary = label(model, [str(made)], tmp_path / "out.csv", Options(workers=2, timeout_s=2.0), hurt_all)
    assert len(hurt) == count
    assert summary.by_status == {Status.OK: 1501}
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.skipif(not ForkServer.is_possible(), reason="needs a fork server (Linux 5.3 or newer)")
def test_where_nothing_can_be_forked(
    model: Model, tmp_path: Path, descendants: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spawned workers, as on macOS and Windows, give the rows of forked ones."""
    made = folder_with(tmp_path, "035-slow.png", large_png(11_500), others=200)
    options = Options(workers=2, timeout_s=0.5)
    label(model, [str(made)], tmp_path / "forked.csv", options, lambda *_: None)
    monkeypatch.setattr(ForkServer, "is_possible", lambda: False)
    label(model, [str(made)], tmp_path / "apart.csv", options, lambda *_: None)
    assert (tmp_path / "apart.csv").read_bytes() == (tmp_path / "forked.csv").read_bytes()
    assert statuses(tmp_path / "apart.csv")["035-slow.png"] is Status.TIMEOUT
    assert descendants() == []


def test_no_worker_outlives_the_run(
    model: Model, tmp_path: Path, descendants: Callable[[], list[int]]
) -> None:
    """Workers are gone when a run ends, also when it ends badly."""
    made = folder_with(tmp_path, "x.png", PNG)

    started: list[int] = []

    def stop(done: int, _total: int, _made: object) -> None:
        if done:
            started.extend(descendants())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(model, [str(made)], tmp_path / "out.csv", Options(), stop)
    label(model, [str(made)], tmp_path / "out.csv", Options(), lambda *_: None)
    assert started
    assert descendants() == []
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_a_model_that_cannot_be_opened(tmp_path: Path, bare_path: Path) -> None:
    """A worker's refusal reaches the user as the sentence that it is, and nothing is left behind."""
    made = folder_with(tmp_path, "x.png", PNG)
    model = Model(bare_path.read_bytes(), ("a", "b", "c"))
    with pytest.raises(EdgeFmError, match="3 labels"):
        label(model, [str(made)], tmp_path / "out.csv", Options(), lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_killed_and_resumed_from_outside(tiny_path: Path, tmp_path: Path) -> None:
    """The real command, killed with -9 at several moments, ends with the bytes of an undisturbed run."""
    made = folder_with(tmp_path, "x.png", PNG, others=10_000)
    command = [
        sys.executable,
        "-m",
        "edge_fm",
        "label",
        str(made),
        "--model",
        str(tiny_path),
        "--workers",
        "2",
        "-o",
    ]
    subprocess.run([*command, tmp_path / "whole.csv"], check=True, capture_output=True, timeout=60)
    kills = 0
    for delay_s in (0.3, 0.4, 0.5, 0.6):
        process = subprocess.Popen(
            [*command, tmp_path / "out.csv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        kills += process.poll() is None
        process.kill()
        process.wait()
    subprocess.run([*command, tmp_path / "out.csv"], check=True, capture_output=True, timeout=60)
    assert kills > 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_workers_that_never_start(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that end before they begin stop the run with a sentence, not a wait."""
    made = folder_with(tmp_path, "x.png", PNG)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EdgeFmError, match="before they could begin"):
        label(model, [str(made)], tmp_path / "out.csv", Options(), lambda *_: None)


def _beginnings(sizes: list[int], workers: int) -> list[tuple[int, int, int]]:
    """Return each message's size, how many inputs are left before it, and how many workers are used."""
    used = max(1, min(workers, -(-sum(sizes) // 64)))
    return [(size, sum(sizes[position:]), used) for position, size in enumerate(sizes)]


def test_chunks_cover_every_input_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks cover every input once, in whole batches, with short ones at the end."""

    class Recorder:
        def __init__(self, _job: object, workers: int, _timeout_s: float) -> None:
            self.workers = workers

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def label(self, chunks: list[Chunk]) -> list[tuple[Chunk, list[bytes]]]:
            return [(chunk, []) for chunk in chunks]

    monkeypatch.setattr(label_module, "Pool", Recorder)
    for count in (1, 31, 64, 65, 1000, 5003):
        for workers in (1, 2, 16):
            inputs = [str(index) for index in range(count)]
            chunks = [
                c for c, _ in label_module._labelled(model, inputs, range(count), Options(workers=workers))
            ]
            assert [index for chunk in chunks for index in chunk.indices] == list(range(count))
            sizes = [len(chunk.indices) for chunk in chunks]
            assert all(size % BATCH == 0 for size in sizes if size > BATCH)
            assert all(size <= max(4, left // (4 * used)) for size, left, used in _beginnings(sizes, workers))


def test_the_last_chunk_is_shared(model: Model, tmp_path: Path) -> None:
    """The last chunk is halved, so that slow images keep all workers busy."""
    names = [str(tmp_path / f"{index}.png") for index in range(8)]
    for name in names:
        Path(name).write_bytes(PNG)
    job = Job(model.data, None, None, RowOptions(), 2**30)
    with pool.Pool(job, 2, 20) as two:
        done = [chunk.indices for chunk, _ in two.label([Chunk(tuple(range(8)), tuple(names))])]
    assert sorted(map(len, done), reverse=True) == [4, 2, 1, 1]
    assert sorted(index for indices in done for index in indices) == list(range(8))
