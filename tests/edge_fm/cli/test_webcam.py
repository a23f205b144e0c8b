"""webcam and service from the command line, as processes where signals matter."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_fm.cli import live
from edge_fm.deploy import systemd as systemd_module
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
    """SIGTERM and Ctrl-C end with code 0, a video that can be played and a log that is whole."""
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
    """JPEGs piped in are classified, and their end is the end."""
    jpegs = b"".join(
        cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
        for path in sorted(WARDROBE.glob("*.png"))[:5]
    )
    command = [sys.executable, "-m", "edge_fm", "webcam", "-", "--view", "none", "--raw"]
    done = subprocess.run(command, input=jpegs, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"%") >= 1


def test_nothing_on_standard_input() -> None:
    """An empty pipe is a sentence and exit code 2."""
    command = [sys.executable, "-m", "edge_fm", "webcam", "-", "--view", "none"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"gave no frame" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
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
def test_wrong_wishes_are_said_before_the_feed(cli: RunCli, arguments: tuple[str, ...], said: str) -> None:
    """Each is exit code 2 and a sentence that names what is right."""
    result = cli("webcam", VIDEO, "--view", "none", *arguments)
    assert result.code == 2
    assert said in result.err


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
    assert live.spelled_out(["webcam", "--tls", "self", "0"]) == ["webcam", "--tls", "self", "self", "0"]
    assert live.spelled_out(["webcam", "--tls", "a", "b"]) == ["webcam", "--tls", "a", "b"]
    assert live.spelled_out(["webcam", "--tls", "self", "self"]) == ["webcam", "--tls", "self", "self"]


def test_a_unit_runs_what_was_asked(cli: RunCli, tmp_path: Path) -> None:
    """The unit has the whole command with absolute inputs, may write where it must, and is watched and restarted."""
    log = tmp_path / "logs" / "e 100%.jsonl"
    result = cli("service", "webcam", os.path.relpath(VIDEO), "--log", log, "--save-unknown", "unknown")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    command = next(line for line in lines if line.startswith("ExecStart="))
    assert f" -m edge_fm webcam {VIDEO}" in command
    assert "--view none" in command
    assert f'"{tmp_path}/logs/e 100%%.jsonl"' in command
    assert "--save-unknown unknown" in command
    assert f"ReadWritePaths={tmp_path}/logs" in lines
    assert {"Type=notify", "WatchdogSec=30", "Restart=on-failure", "StateDirectory=edge-fm"} <= set(lines)


def test_a_unit_understands_both_spellings(cli: RunCli, tmp_path: Path) -> None:
    """`--view=web` and `--log=FILE` mean the same as with a blank."""
    log = tmp_path / "e.jsonl"
    joined = cli("service", "webcam", "0", "--view=web", f"--log={log}")
    assert joined.code == 0
    assert joined.out == cli("service", "webcam", "0", "--view", "web", "--log", log).out
    assert "--view none" not in joined.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "edge-fm service webcam"),
        (("label", "x"), "edge-fm service webcam"),
        (("webcam", "--view", "window"), "screen"),
    ],
)
def test_a_unit_that_makes_no_sense(cli: RunCli, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be a service is refused with a command that can."""
    result = cli("service", *arguments)
    assert result.code == 2
    assert said in result.err


def test_a_wrong_option_is_said_by_service(cli: RunCli) -> None:
    """A mistyped option is said when the unit is made, not when it fails to start."""
    assert cli("service", "webcam", "0", "--reginn", "full").code == 2


def test_words_of_a_unit_are_literal() -> None:
    """Blanks, quotes, specifiers and variables of systemd reach the command as they are."""
    assert systemd_module._quote("plain/path-1.0") == "plain/path-1.0"
    assert systemd_module._quote('a "b" %h $HOME \\') == '"a \\"b\\" %%h $$HOME \\\\"'
    assert systemd_module._quote("") == '""'


def test_a_unit_for_labelling_what_arrives(cli: RunCli, tmp_path: Path) -> None:
    """The folder becomes absolute, the output's folder writable; without --watch, or with a wrong option, there is none."""
    printed = cli("service", "label", tmp_path, "--watch", "-o", "/srv/out/labels.csv")
    assert printed.code == 0, printed.err
    assert f"-m edge_fm label {tmp_path} --watch -o /srv/out/labels.csv" in printed.out
    assert "ReadWritePaths=/srv/out" in printed.out
    assert "WatchdogSec" in printed.out
    assert cli("service", "label", tmp_path, "-o", "labels.csv").code == 2
    assert cli("service", "label", tmp_path, "--watch", "-o", "labels.csv", "--wrong").code == 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's sockets are of Unix")
def test_labelling_what_arrives_feeds_the_watchdog(tmp_path: Path) -> None:
    """The loop itself says that it is ready and alive, labels what comes, and ends when asked to, what is done kept."""
    pictures, out = tmp_path / "in", tmp_path / "labels.csv"
    pictures.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_fm", "label", str(pictures), "--watch", "-o", str(out)],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
            stderr=subprocess.PIPE,
        )
        told = [systemd.recv(1000).decode() for _ in range(3)]
        assert told[0].startswith("READY=1\nWATCHDOG=1")
        assert all("WATCHDOG=1" in text for text in told)
        shutil.copy(next((ROOT / "samples" / "wardrobe").glob("*.png")), pictures / "one.png")
        while not out.exists():
            assert "WATCHDOG=1" in systemd.recv(1000).decode()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(out.read_text().splitlines()) == 2


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
    """An option that would have no effect is said before anything is opened."""
    result = cli("webcam", ROOT / "samples" / "wardrobe.mp4", "--view", "none", *arguments)
    assert result.code == 2
    assert arguments[0] in result.err
    assert "--view web" in result.err
