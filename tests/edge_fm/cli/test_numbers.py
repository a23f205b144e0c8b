"""Numbers on the command line: those that are none, or out of every range, are wrong usage."""

from typing import Any

import pytest
import typer.main

from edge_fm.cli.app import app
from tests.conftest import RunCli

GROUP: Any = typer.main.get_command(app)
KINDS = ("int", "int range", "float", "float range", "integer", "integer range")
NUMBERS = [
    (name, parameter.opts[0], parameter.type.name)
    for name, command in GROUP.commands.items()
    for parameter in command.params
    if parameter.type.name in KINDS
]
NO_NUMBERS = [
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "9" * 400,
    "9" * 5000,
    "",
    " ",
    "abc",
    "0x10",
    "1,5",
]
ARGUMENTS = {
    "label": ["x"],
    "webcam": ["0"],
    "train": ["wardrobe", "-o", "x"],
    "export": ["x.keras", "-o", "x.onnx"],
    "bench": ["fashion"],
    "sort": ["x.csv", "--into", "x"],
}


def test_every_kind_of_number_is_found() -> None:
    """The list of numbers has those of every command that takes one."""
    assert {name for name, _, _ in NUMBERS} == set(ARGUMENTS)
    assert ("label", "--timeout", "float range") in NUMBERS
    assert len(NUMBERS) > 25


@pytest.mark.parametrize(("command", "option", "kind"), NUMBERS)
def test_no_number(cli: RunCli, command: str, option: str, kind: str) -> None:
    """NaN, infinity, a negative, a huge number and text are refused with the name of the option."""
    for text in NO_NUMBERS:
        result = cli(command, *ARGUMENTS[command], f"{option}={text}")
        assert result.code == 2, text
        assert option in result.err, text


@pytest.mark.parametrize(
    ("command", "option", "text"),
    [
        ("webcam", "--max-storage", "nan"),
        ("webcam", "--max-storage", "9" * 400),
        ("webcam", "--max-storage", "-1MB"),
        ("webcam", "--size", "99999999x1"),
        ("webcam", "--region", "0,0,nan,9"),
        ("label", "--shard", "1/" + "9" * 5000),
        ("label", "--shard", "-1/3"),
        ("label", "--shard", "nan/3"),
        ("train", "--set", "dropout=nan"),
        ("train", "--set", "dropout=" + "9" * 5000),
        ("train", "--set", "folds=" + "9" * 5000),
    ],
)
def test_no_number_within_a_text(cli: RunCli, command: str, option: str, text: str) -> None:
    """Texts that hold a number are refused in one line if it is none or out of range."""
    result = cli(command, *ARGUMENTS[command], option, text)
    assert result.code == 2
    assert result.err.count("\n") == 1
