"""Text of files and arguments on a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fm.cli import terminal
from tests.conftest import RunCli
from tests.runtime.labelling import PNG

UNSAFE = [*map(chr, (*range(32), *range(127, 160), 0x061C, 0x200E, 0x2028, 0x2029, 0xFEFF, 0xAD, 0xE0041))]
UNSAFE += [*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xDCFF, 0xD800))]
SAFE = ["T-shirt/top", "코트", "a b", "\\xff", "😀", "👩\u200d👩\u200d👧", "नि\u200dष", "é", "é"]
RED_ERROR = "\x1b[31m\x1b[1merror: \x1b[0m"
HOSTILE = "a\x1b[31m\x9b1m\u202eb\u2028c\nd\re\x7f"


@pytest.mark.parametrize("character", UNSAFE, ids=ascii)
def test_a_character_that_acts_is_escaped(character: str) -> None:
    """Each control and format character becomes visible ASCII, and JSON reads it as the same."""
    shown = terminal.escape(f"a{character}b")
    assert shown.isascii()
    assert shown.isprintable()
    if character != "\udcff":
        assert json.loads(f'"{shown}"') == f"a{character}b"


@pytest.mark.parametrize("text", SAFE)
def test_text_is_shown_as_it_is(text: str) -> None:
    """Letters, signs and emoji of any script are printed unchanged."""
    assert terminal.escape(text) == text


def test_bytes_are_shown_as_in_the_path_column() -> None:
    r"""A byte of a name that is no UTF-8 is printed as `\xNN`."""
    assert terminal.escape(os.fsdecode(b"a\xff\x80")) == "a\\xff\\x80"


def test_every_way_of_printing_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines, documents, notes, errors, tables and their titles print no character that acts."""
    terminal.print_line(HOSTILE)
    terminal.print_document(f"{HOSTILE}\n{HOSTILE}")
    terminal.print_note(HOSTILE)
    terminal.print_error(HOSTILE)
    terminal.print_unreadable([(HOSTILE, HOSTILE)])
    terminal.print_table(["x"], [[HOSTILE]], HOSTILE)
    out, err = capsys.readouterr()
    for line in f"{out}{err}".split("\n"):
        assert line.isprintable(), line
    assert out.count("\\u001b[31m") == 5
    assert err.count("\\u202e") == 4


def test_a_title_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets of a model's path are printed in a title."""
    terminal.print_table(["x"], [["x" * 40]], "passport of [red]x[/red].onnx")
    assert "passport of [red]x[/red].onnx" in capsys.readouterr().out


def in_terminal(*arguments: object) -> str:
    """Return what a command prints on a terminal, both outputs together."""
    master, slave = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_fm", *map(str, arguments)], stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    data = b""
    try:
        while block := os.read(master, 65536):
            data += block
    except OSError:  # the end, on Linux
        pass
    os.close(master)
    process.wait(timeout=60)
    return data.decode().replace("\r\n", "\n").replace(RED_ERROR, "error: ")


def test_names_of_files_on_a_terminal(tiny_path: Path, bare_path: Path, tmp_path: Path) -> None:
    """Names, labels and arguments with controls are escaped by every command that prints them."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{HOSTILE}.png").write_bytes(PNG)
    labels = tmp_path / "labels.csv"
    shown = [
        in_terminal("label", folder, "--model", tiny_path, "-o", "-"),
        in_terminal("label", folder, "--model", tiny_path, "-o", labels),
        in_terminal("sort", labels, "--into", tmp_path / HOSTILE, "--dry-run"),
        in_terminal(
            "label", folder, "--model", bare_path, "--labels", f"{HOSTILE},b", "-o", "-", "--summary"
        ),
        in_terminal("label", f"no{HOSTILE}"),
        in_terminal("inspect", f"no{HOSTILE}"),
        in_terminal(HOSTILE),
        in_terminal("label", f"--{HOSTILE}"),
        in_terminal("label", "--timeout", HOSTILE, "x"),
    ]
    for text in shown:
        assert text
        for line in text.split("\n"):
            assert line.isprintable(), line
    assert json.loads(shown[0].splitlines()[0])["path"] == f"{folder}/{HOSTILE}.png"


def test_a_name_that_is_no_utf_8_is_printed(cli: RunCli, tiny_path: Path, tmp_path: Path) -> None:
    """`sort --dry-run` names a file whose name has a byte that no encoding of the output has."""
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsdecode(os.fsencode(folder) + b"/\xff.png")
    Path(name).write_bytes(PNG)
    assert cli("label", folder, "--model", tiny_path, "-o", tmp_path / "labels.csv").code == 0
    result = cli("sort", tmp_path / "labels.csv", "--into", tmp_path / "sorted", "--dry-run")
    assert result.code == 0
    assert "/\\xff.png -> " in result.out
