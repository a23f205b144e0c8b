"""Standard output that cannot be written, and faults of edge-fm itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fm.demo import samples

FULL = Path("/dev/full")
WARDROBE, VIDEO = str(samples.CHECKOUT / "wardrobe"), str(samples.CHECKOUT / "wardrobe.mp4")
FEED = ["webcam", VIDEO, "--view", "none", "--fast"]
BROKEN = """
import sys
from edge_fm.cli import data, main
def load(*_): raise KeyError("a fault\\nof two lines")
import edge_fm.datasets
edge_fm.datasets.load = load
main()
"""


def run_python(
    *arguments: str, output: int, encoding: str = "utf-8", **environment: str
) -> "subprocess.Popen[str]":
    """Start Python with a file descriptor as its standard output."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, **environment}
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=output, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "command",
    [
        ["--version"],
        ["inspect", "fashion"],
        ["inspect", "fashion", "--json"],
        ["zoo"],
        ["doctor"],
        ["verify", "digits"],
        FEED,
    ],
    ids=" ".join,
)
def test_a_full_output_is_one_line(command: list[str], buffered: str) -> None:
    """Each command whose standard output is full ends with one line and exit code 2."""
    with FULL.open("wb") as full:
        process = run_python("-m", "edge_fm", *command, output=full.fileno(), PYTHONUNBUFFERED=buffered)
    _, errors = process.communicate(timeout=120)
    assert errors.splitlines()[-1] == "error: standard output cannot be written: No space left on device"
    assert "Traceback" not in errors
    assert process.returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_rows_survive_a_full_output(tmp_path: Path) -> None:
    """Labelling keeps all rows when only its last line cannot be printed."""
    command = ["label", WARDROBE, "-o", str(tmp_path / "rows.csv")]
    with FULL.open("wb") as full:
        process = run_python("-m", "edge_fm", *command, output=full.fileno())
    _, errors = process.communicate(timeout=120)
    assert errors == "error: standard output cannot be written: No space left on device\n"
    assert process.returncode == 2
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 41


def test_an_encoding_without_the_labels_is_one_line() -> None:
    """Korean labels on an ASCII output end a feed with one line that names the remedy."""
    process = run_python("-m", "edge_fm", *FEED, "--lang", "ko", output=subprocess.PIPE, encoding="ascii")
    _, errors = process.communicate(timeout=120)
    assert errors.startswith("error: standard output cannot show")
    assert errors.endswith("in ascii: set PYTHONIOENCODING=utf-8\n")
    assert errors.count("\n") == 1
    assert process.returncode == 2


def test_a_closed_output_is_quiet(tmp_path: Path) -> None:
    """A command that starts without a standard output, as some services do, works and prints nothing."""
    command = ["label", WARDROBE, "-o", str(tmp_path / "rows.csv")]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "edge_fm", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 41


def test_a_closed_pipe_is_quiet() -> None:
    """A reader that has seen enough, as `head -1`, gets no error on the terminal."""
    process = run_python("-m", "edge_fm", *FEED, output=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert "T-shirt/top" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=120)


def test_a_fault_is_one_line_without_a_traceback() -> None:
    """An unexpected exception is one line with its type, the command and how to report it."""
    process = run_python("-c", BROKEN, "data", "my photos", output=subprocess.PIPE)
    output, errors = process.communicate(timeout=120)
    assert (output, process.returncode, errors.count("\n")) == ("", 70, 1)
    assert errors.startswith("error: unexpected KeyError: ")
    assert "in: edge-fm data 'my photos'. This is a fault of edge-fm" in errors
    assert "--debug" in errors


def test_debug_shows_the_traceback() -> None:
    """With `--debug`, before or after the command's own words, the exception is raised."""
    for words in (("--debug", "data", "x"), ("data", "x", "--debug")):
        process = run_python("-c", BROKEN, *words, output=subprocess.PIPE)
        _, errors = process.communicate(timeout=120)
        assert "Traceback" in errors
        assert "KeyError" in errors
        assert process.returncode == 1
