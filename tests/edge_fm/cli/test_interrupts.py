"""Ctrl-C while a command starts, and a process that starts without its streams or its folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_fm.demo import samples

WARDROBE, VIDEO = str(samples.CHECKOUT / "wardrobe"), str(samples.CHECKOUT / "wardrobe.mp4")
INTERRUPTED_AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000): pass
sys.meta_path.insert(0, Finder())
MODULE = sys.argv.pop(1)
from edge_fm.cli import main
main()
"""
COMMANDS = {
    "label": ["label", WARDROBE, "-o", "x.csv"],
    "merge": ["merge", "a.csv", "-o", "x.csv"],
    "verify": ["verify", "fashion"],
    "webcam": ["webcam", VIDEO, "--view", "none"],
}

MODULES = dict.fromkeys(COMMANDS, "numpy") | {
    "label": "edge_fm_runtime.batch.label",
    "merge": "edge_fm_runtime.batch.outputs.shards",
}
"""A module that each command imports when it is called."""


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python in a folder until its end."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("module", ["edge_fm_runtime", "typer", "edge_fm.cli.app", "edge_fm_runtime.errors"])
def test_an_interrupt_while_the_command_line_loads(module: str, tmp_path: Path) -> None:
    """Ctrl-C during the first imports of any command ends it with exit code 130 and no word."""
    done = run("-c", INTERRUPTED_AT_IMPORT, module, "zoo", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_while_a_command_loads(command: str, tmp_path: Path) -> None:
    """Ctrl-C while a command imports its libraries ends it with exit code 130 and no word."""
    done = run("-c", INTERRUPTED_AT_IMPORT, MODULES[command], *COMMANDS[command], folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_deleted_working_directory(command: str, tmp_path: Path) -> None:
    """A command in a folder that was deleted says so in one line."""
    script = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", sys.executable, "-m", "edge_fm", *COMMANDS[command]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "error: the working directory does not exist any more: cd to a folder that exists\n"


def in_shell(redirection: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command with streams that the shell closed."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "edge_fm", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [("label", "-", "-o", "x.csv"), ("webcam", "-", "--view", "none")], ids=" ".join
)
def test_a_closed_standard_input(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A command that reads a standard input that is closed says so in one line."""
    done = in_shell("<&-", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard input is closed: pipe ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_closed_standard_output_takes_no_rows(tmp_path: Path) -> None:
    """JSON lines that nobody could read are an error, not a success."""
    done = in_shell(">&-", "label", WARDROBE, "-o", "-", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output is closed" in done.stderr


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Without any standard stream the rows are written, and nothing else is in the files."""
    done = in_shell("<&- >&- 2>&-", "label", WARDROBE, "-o", "x.csv", folder=tmp_path)
    assert done.returncode == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 41
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.csv.journal", "x.csv"]
