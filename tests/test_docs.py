"""Commands, options, links and the Python example in the README and docs/ are correct."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fm.cli.app import app
from tests.conftest import ROOT
from tests.pictures import encoded

COMMANDS = sorted(command.name for command in app.registered_commands if command.name)
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def help_of(command: str) -> str:
    """Return the help of a command, in a wide terminal."""
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output


def commands_of(text: str) -> list[str]:
    """Return the edge-fm commands of a page, in code blocks and code spans."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.findall(r"^(?:\$ )?edge-fm (.+)$", block, re.MULTILINE)]
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`edge-fm ([^`]+)`", sentences)
    return [re.split(r" [|>#] ?| && ", line)[0] for line in lines + inline]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    """The README's table has each command."""
    assert f"`edge-fm {command}" in README.read_text(encoding="utf-8")


@every_page
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    """Every command and option on a page exists."""
    for example in commands_of(page.read_text(encoding="utf-8")):
        command, *words = example.split()
        assert command.startswith("-") or command in COMMANDS, example
        # `service` takes another command with its options.
        started = words[0] if command == "service" and words else command
        known = "--version" + help_of(command) + help_of(started)
        for option in (word.split("=")[0] for word in words if word.startswith("-") and word != "-"):
            assert re.search(rf"{re.escape(option)}(?![\w-])", known), example


def test_commands_are_found_in_pages() -> None:
    """Commands end at a pipe or a comment, in blocks with and without a prompt and in sentences."""
    text = "Type `edge-fm doctor`.\n```console\n$ edge-fm label a -o b | less\n```\n```sh\nedge-fm train edge  # long\n```\n"
    assert commands_of(text) == ["label a -o b", "train edge ", "doctor"]
    assert len(commands_of(README.read_text(encoding="utf-8"))) >= 4


@every_page
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Linked files, images and headings exist."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = page if not name else page.parent / name
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_the_python_api_of_the_readme(tmp_path: Path) -> None:
    """The Python example of the README works."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "photo.jpg").write_bytes(encoded(np.zeros((50, 40, 3), np.uint8), ".jpg"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
