"""A full disk: one line, exit code 2, nothing half-written, and the same command goes on later."""

import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_fm.demo import samples
from edge_fm.drawing.canvas import Canvas
from edge_fm_runtime.errors import OutputError
from tests.conftest import CliResult, RunCli

WARDROBE, VIDEO = samples.CHECKOUT / "wardrobe", samples.CHECKOUT / "wardrobe.mp4"
ROOM = 512
"""Largest file that can be written, in bytes."""

SmallDisk = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def small_disk() -> SmallDisk:
    """Return a context in which no file grows above `ROOM` bytes, as on a disk that is full."""

    @contextmanager
    def limit() -> Iterator[None]:
        kept = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, kept[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept)
            signal.signal(signal.SIGXFSZ, ignored)
            sys.dont_write_bytecode = written

    return limit


def check_refusal(result: CliResult) -> None:
    """Check that a command ended with one line that names the reason."""
    assert result.code == 2
    assert "File too large" in result.err
    assert result.err.count("\n") == 1


@pytest.fixture
def labels(cli: RunCli, tmp_path: Path) -> Path:
    """Return the labels of the samples."""
    path = tmp_path / "labels.csv"
    assert cli("label", WARDROBE, "-o", path).code == 0
    (tmp_path / ".labels.csv.journal").unlink()
    return path


def test_a_page_is_whole_or_missing(cli: RunCli, labels: Path, small_disk: SmallDisk) -> None:
    """A page that has no room leaves nothing; with room the same command writes it."""
    command = ("gallery", labels, "-o", labels.with_name("page.html"))
    with small_disk():
        check_refusal(cli(*command))
    assert [path.name for path in labels.parent.iterdir()] == [labels.name]
    assert cli(*command).code == 0


def test_a_drawing_is_whole_or_missing(tmp_path: Path, small_disk: SmallDisk) -> None:
    """A strip, chart or contact sheet that has no room leaves nothing under its name or beside it."""
    canvas = Canvas(300, 300)
    canvas.pixels_bgr[:] = np.random.default_rng(0).integers(0, 256, canvas.pixels_bgr.shape)
    with small_disk(), pytest.raises(OutputError, match="File too large"):
        canvas.save(tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []
    canvas.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > ROOM


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_merge_leaves_nothing(cli: RunCli, tmp_path: Path, small_disk: SmallDisk, suffix: str) -> None:
    """Parts that have no room together are merged by the same command once there is room."""
    parts = [tmp_path / f"part-{index}.csv" for index in (1, 2)]
    for index, part in enumerate(parts, 1):
        assert cli("label", WARDROBE, "-o", part, "--shard", f"{index}/2").code == 0
    before = sorted(tmp_path.iterdir())
    command = ("merge", *parts, "-o", tmp_path / f"all{suffix}")
    with small_disk():
        check_refusal(cli(*command))
    assert sorted(tmp_path.iterdir()) == before
    assert cli(*command).code == 0


def test_sort_goes_on_where_it_was(cli: RunCli, labels: Path, small_disk: SmallDisk) -> None:
    """Files that had no room are copied by the same command, none is cut, and all can be undone."""
    into = labels.with_name("sorted")
    command = ("sort", labels, "--into", into)
    with small_disk():
        check_refusal(cli(*command))
    for path in into.glob("*/*"):
        assert path.read_bytes() == (WARDROBE / path.name).read_bytes()
    assert not list(into.rglob("*.partial"))
    assert cli(*command).code == 0
    assert len(list(into.glob("*/*"))) == 40
    assert cli("sort", "--undo", "--into", into).code == 0
    assert not list(into.glob("*/*"))


def test_a_feed_outlives_its_log(cli: RunCli, tmp_path: Path, small_disk: SmallDisk) -> None:
    """A log that has no room is noted once, and the feed ends as always."""
    with small_disk():
        result = cli("webcam", VIDEO, "--view", "none", "--fast", "--log", tmp_path / "log.jsonl")
    assert result.code == 0
    assert result.err.count("events are lost until there is room") == 1
