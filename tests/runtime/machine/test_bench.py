"""The processes of a benchmark."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.machine import bench

PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
subprocess.run([sys.executable, "-c", '''
import time
from edge_fm_runtime.posix import end_with_parent
end_with_parent()
print(__import__("os").getpid(), flush=True)
time.sleep(600)
'''])
"""


def is_running(pid: int) -> bool:
    """Return whether a process runs, and is not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system sends no such signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number: signal.Signals) -> None:
    """However the parent of a cold start is ended, its child ends too."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    os.kill(parent.pid, number)
    parent.wait(60)
    parent.stdout.close()
    until = time.monotonic() + 60
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(child)


def test_a_cold_start_asks_to_end_with_its_parent(monkeypatch: pytest.MonkeyPatch, tiny_path: Path) -> None:
    """The process of a cold start is bound to its parent before it opens the model."""
    asked: list[str] = []
    monkeypatch.setattr(bench, "end_with_parent", lambda: asked.append("end"))
    monkeypatch.setattr(sys, "argv", ["bench", str(tiny_path.with_name("gone.onnx"))])
    with pytest.raises(ModelError, match="there is no model"):
        bench.main()
    assert asked == ["end"]


def test_a_cold_start_without_an_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, tiny_path: Path) -> None:
    """A process that is not done in time is a sentence, with the command that says more."""
    monkeypatch.setattr(bench, "_TIMEOUT_S", 0.01)
    with pytest.raises(ModelError, match=r"has not answered within 0\.01 s.*edge-fm verify"):
        bench.measure([str(tiny_path)], lambda *_: None, rounds=1)
