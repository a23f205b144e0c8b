"""Prefetch of epochs in processes beside the training."""

import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.models import runs
from edge_fm.training.edge import epoch_data, prefetch, train
from edge_fm.training.edge import settings as settings_module
from edge_fm.training.edge.epoch_data import Mix, TrainingImages
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from tests.edge_fm.pictures import training_sources


def tenfold(index: int) -> tuple[int, int]:
    """Return ten times the index and the process that this is; there is no third."""
    if index == 2:
        raise DataError("no third")
    return index * 10, os.getpid()


def of_epoch(material: TrainingImages, mix: Mix, index: int) -> epoch_data.EpochImages:
    """Return the pictures of an epoch."""
    return epoch_data.draw_epoch(material, mix, 0, index)


def test_the_next_epoch_is_drawn_beside_the_training_of_this_one() -> None:
    """The next epoch is drawn during the current one, once and in order; errors reach the caller."""
    begun = [threading.Event() for _ in range(3)]
    order: list[int] = []

    def draw(index: int) -> int:
        order.append(index)
        begun[index].set()
        if index == 2:
            raise DataError("no third")
        return index * 10

    drawn = prefetch.prefetch(draw, range(3))
    assert next(drawn) == 0
    assert begun[1].wait(10)
    assert not begun[2].is_set()
    assert next(drawn) == 10
    with pytest.raises(DataError, match="no third"):
        next(drawn)
    assert order == [0, 1, 2]
    assert list(prefetch.prefetch(draw, [])) == []


@pytest.mark.slow
def test_several_epochs_are_drawn_in_processes_each_as_by_itself() -> None:
    """Processes draw what a training draws by itself, for each epoch the same pictures, classes and order."""
    dataset = datasets.load("wardrobe")
    draw = partial(of_epoch, TrainingImages(dataset.train, None, {}, 10), Mix())
    with prefetch.prefetch_in_processes(2, draw, range(3, 6)) as drawn_of:
        for index in range(3, 6):
            there, here = drawn_of(index), draw(index)
            assert np.array_equal(there.images, here.images)
            assert np.array_equal(there.allowed, here.allowed)


@pytest.mark.slow
def test_what_fails_in_a_process_fails_where_it_is_asked_for() -> None:
    """An error in a drawing process is raised where the training asks for the epoch."""
    with prefetch.prefetch_in_processes(2, tenfold, range(4)) as drawn_of:
        (nothing, first), (ten, second) = drawn_of(0), drawn_of(1)
        assert (nothing, ten) == (0, 10)
        assert os.getpid() not in {first, second}
        with pytest.raises(DataError, match="no third"):
            drawn_of(2)


def test_a_training_on_few_cores_draws_by_itself() -> None:
    """No process is started on few cores, and some cores are left to training on many."""
    assert prefetch.processes_for(2) == 0
    with prefetch.prefetch_in_processes(0, tenfold, range(2)) as drawn_of:
        assert drawn_of(1) == (10, os.getpid())
    for cores in (8, 16, 64):
        assert 1 < prefetch.processes_for(cores) < cores - 1


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_prefetch_does_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With processes that draw its epochs a training ends with the very weights that it has without."""
    sources = training_sources(datasets.limited(datasets.load("wardrobe"), 120, 40))
    settings, weights = settings_module.EdgeSettings(epochs=2, batch_size=32), []
    for processes in (0, 2):
        monkeypatch.setattr(prefetch, "processes_for", lambda _cores, count=processes: count)
        run = tmp_path / str(processes)
        train.train_run(sources, settings, run, lambda *_: None)
        weights.append(import_keras().saving.load_model(run / runs.MODEL, compile=False).get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc to find the processes")
def test_no_process_outlives_a_training_that_is_killed(tmp_path: Path) -> None:
    """Killed with -9, a training leaves none of the processes behind that drew for it."""
    script = tmp_path / "training.py"
    script.write_text(
        """
import os, time
from edge_fm.training.edge import prefetch

def draw(index):
    return os.getpid()

if __name__ == "__main__":
    with prefetch.prefetch_in_processes(2, draw, range(100)) as drawn_of:
        print(*{drawn_of(index) for index in range(20)}, flush=True)
        time.sleep(600)
"""
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as training:
        assert training.stdout is not None
        drawing = [int(pid) for pid in training.stdout.readline().split()]
        assert drawing
        assert set(drawing) <= set(alive(drawing))
        training.kill()
    ended = time.monotonic() + 20
    while alive(drawing) and time.monotonic() < ended:
        time.sleep(0.05)
    assert alive(drawing) == []


def alive(pids: list[int]) -> list[int]:
    """Return those of some processes that are there and have not ended."""
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [
        pid
        for pid, path in states.items()
        if path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"
    ]
