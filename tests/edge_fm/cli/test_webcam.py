"""`edge-fm webcam`, as a process where signals matter."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_fm.cli.webcam import expand_tls_self
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import ROOT, RunCli

VIDEO = ROOT / "samples" / "wardrobe.mp4"
WARDROBE = ROOT / "samples" / "wardrobe"


def webcam(*arguments: object) -> "subprocess.Popen[str]":
    """Start the real command."""
    command = [sys.executable, "-m", "edge_fm", "webcam", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_records(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end with exit code 0, a playable video and a complete log."""
    running = webcam(
        WARDROBE,
        "--every",
        "0.2",
        "--view",
        "none",
        "--record",
        tmp_path / "o.mp4",
        "--log",
        tmp_path / "e.jsonl",
    )
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(1)
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "frames" in err
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).read()[0]
    assert all(json.loads(line)["time"] for line in (tmp_path / "e.jsonl").read_text().splitlines())


def test_a_stream_on_standard_input(tmp_path: Path) -> None:
    """JPEGs on standard input are classified until the pipe is closed."""
    jpegs = b"".join(
        cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
        for path in sorted(WARDROBE.glob("*.png"))[:5]
    )
    command = [sys.executable, "-m", "edge_fm", "webcam", "-", "--view", "none", "--raw"]
    done = subprocess.run(command, input=jpegs, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"%") >= 1


def test_nothing_on_standard_input() -> None:
    """An empty pipe is an error with exit code 2."""
    command = [sys.executable, "-m", "edge_fm", "webcam", "-", "--view", "none"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"gave no frame" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--region", "middle"), "centre, full"),
        (("--size", "big"), "640x480"),
        (("--max-storage", "lots"), "500MB"),
        (("--record", "x.gif"), ".avi"),
        (("--record", "/nowhere/x.mp4"), "/nowhere"),
        (("--log", "/proc/none/e.jsonl"), "--log"),
        (("--view", "web", "--tls", "a.pem", "b.pem"), "a.pem"),
    ],
)
def test_wrong_values_are_refused_before_the_feed(
    cli: RunCli, arguments: tuple[str, ...], expected: str
) -> None:
    """A wrong value is an error with exit code 2 that names a right one."""
    result = cli("webcam", VIDEO, "--view", "none", *arguments)
    assert result.code == 2
    assert expected in result.err


def test_the_web_view_from_the_command_line() -> None:
    """The address is printed, the page is there, and SIGTERM ends it."""
    import httpx

    with webcam("browser", "--view", "web", "--port", "0") as running:
        assert running.stderr is not None
        address = running.stderr.readline().split()[-1]
        assert httpx.get(address + "api/state").json()["number"] == 0
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_tls_takes_one_word_or_two() -> None:
    """`--tls self` and `--tls CERT KEY` are both understood."""
    assert expand_tls_self(["webcam", "--tls", "self", "0"]) == ["webcam", "--tls", "self", "self", "0"]
    assert expand_tls_self(["webcam", "--tls", "a", "b"]) == ["webcam", "--tls", "a", "b"]
    assert expand_tls_self(["webcam", "--tls", "self", "self"]) == ["webcam", "--tls", "self", "self"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--host", "10.0.0.1"),
        ("--port", "9"),
        ("--token", "x"),
        ("--tls", "self", "self"),
        ("--name", "pi.local"),
    ],
)
def test_options_of_the_page_without_the_page(cli: RunCli, arguments: tuple[str, ...]) -> None:
    """An option that would have no effect is refused before anything is opened."""
    result = cli("webcam", ROOT / "samples" / "wardrobe.mp4", "--view", "none", *arguments)
    assert result.code == 2
    assert arguments[0] in result.err
    assert "--view web" in result.err
