"""`edge-fm service`: systemd units of webcam and label commands."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunCli

VIDEO = ROOT / "samples" / "wardrobe.mp4"


def test_a_unit_runs_the_given_command(cli: RunCli, tmp_path: Path) -> None:
    """The unit has absolute inputs, may write its outputs, and is supervised and restarted."""
    log = tmp_path / "logs" / "e 100%.jsonl"
    result = cli("service", "webcam", os.path.relpath(VIDEO), "--log", log, "--save-unknown", "unknown")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    command = next(line for line in lines if line.startswith("ExecStart="))
    assert f" -m edge_fm webcam {VIDEO}" in command
    assert "--view none" in command
    assert f'"{tmp_path}/logs/e 100%%.jsonl"' in command
    assert "--save-unknown unknown" in command
    assert f"ReadWritePaths=-{tmp_path}/logs" in lines
    assert {"Type=notify", "WatchdogSec=30", "Restart=on-failure", "StateDirectory=edge-fm"} <= set(lines)


def test_a_unit_understands_both_spellings(cli: RunCli, tmp_path: Path) -> None:
    """`--view=web` and `--log=FILE` mean the same as with a space."""
    log = tmp_path / "e.jsonl"
    joined = cli("service", "webcam", "0", "--view=web", f"--log={log}")
    assert joined.code == 0
    assert joined.out == cli("service", "webcam", "0", "--view", "web", "--log", log).out
    assert "--view none" not in joined.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "edge-fm service webcam"),
        (("label", "x"), "edge-fm service webcam"),
        (("webcam", "--view", "window"), "screen"),
    ],
)
def test_a_command_that_is_no_service(cli: RunCli, arguments: tuple[str, ...], expected: str) -> None:
    """A command that cannot be a service is refused with one that can."""
    result = cli("service", *arguments)
    assert result.code == 2
    assert expected in result.err


def test_a_wrong_option_is_refused_by_service(cli: RunCli) -> None:
    """A mistyped option is an error when the unit is printed, not when it fails to start."""
    assert cli("service", "webcam", "0", "--reginn", "full").code == 2


def test_only_paths_become_absolute(cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder named like an option's value leaves that value alone; inputs become absolute."""
    monkeypatch.chdir(tmp_path)
    for name in ("web", "full", "fashion", "secret", "0"):
        (tmp_path / name).mkdir()
    options = "--view web --region full --model fashion --token secret"
    assert f" webcam 0 {options}\n" in cli("service", "webcam", "0", *options.split()).out
    assert f" label {tmp_path}/0 --watch" in cli("service", "label", "0", "--watch").out


def test_a_self_signed_certificate_is_no_path(cli: RunCli) -> None:
    """`--tls self` stays as it is, and files become absolute."""
    made = cli("service", "webcam", "--view", "web", "--tls", "self")
    assert "--tls self self" in made.out
    given = cli("service", "webcam", "--view", "web", "--tls", "cert.pem", "key.pem")
    assert f"--tls {Path.cwd()}/cert.pem {Path.cwd()}/key.pem" in given.out


def test_a_line_break_in_an_option_is_refused(cli: RunCli) -> None:
    """A value with a line break is an error, and nothing is printed as a unit."""
    result = cli("service", "webcam", "0", "--log", "/srv/e\nExecStartPre=/bin/sh")
    assert (result.code, result.out) == (2, "")
    assert "which a unit file cannot hold" in result.err


def test_a_unit_for_labelling_new_files(cli: RunCli, tmp_path: Path) -> None:
    """`label --watch` gets a unit that may write its output; without --watch there is none."""
    printed = cli("service", "label", tmp_path, "--watch", "-o", "/srv/out/labels.csv")
    assert printed.code == 0, printed.err
    assert f"-m edge_fm label {tmp_path} --watch -o /srv/out/labels.csv" in printed.out
    assert "ReadWritePaths=-/srv/out" in printed.out
    assert cli("service", "label", tmp_path, "--watch", "-o/srv/out/labels.csv").out == printed.out
    assert "WatchdogSec" in printed.out
    assert cli("service", "label", tmp_path, "-o", "labels.csv").code == 2
    assert cli("service", "label", tmp_path, "--watch", "-o", "labels.csv", "--wrong").code == 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd uses Unix sockets")
def test_label_watch_notifies_the_watchdog(tmp_path: Path) -> None:
    """`label --watch` sends ready and alive messages, labels new files, and keeps its rows on SIGTERM."""
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
        messages = [systemd.recv(1000).decode() for _ in range(3)]
        assert messages[0].startswith("READY=1\nWATCHDOG=1")
        assert all("WATCHDOG=1" in text for text in messages)
        shutil.copy(next((ROOT / "samples" / "wardrobe").glob("*.png")), pictures / "one.png")
        while not out.exists():
            assert "WATCHDOG=1" in systemd.recv(1000).decode()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(out.read_text().splitlines()) == 2
