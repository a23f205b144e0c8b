"""Options and commands that were renamed or removed."""

import shlex
from typing import Any

import pytest
import typer.main

from edge_fm.cli import renamed
from edge_fm.cli.app import app
from tests.conftest import RunCli


def refused(cli: RunCli, *arguments: str) -> str:
    """Return the one error of a command line that is refused."""
    result = cli(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error: edge-fm ")
    assert result.err.count("\n") == 1
    return result.err


@pytest.mark.parametrize(
    ("command", "option", "message"),
    [(command, *pair) for command, entries in renamed.OPTIONS.items() for pair in entries.items()],
)
def test_a_renamed_option_names_the_new_one(cli: RunCli, command: str, option: str, message: str) -> None:
    """The message has the command, the old spelling and what to write instead."""
    assert refused(cli, command, "source", option) == f"error: edge-fm {command}: {option} {message}\n"
    assert refused(cli, command, f"{option}=3") == f"error: edge-fm {command}: {option} {message}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cnn --data fashion-mnist -o runs/cnn", "fashion-mnist --model cnn -o runs/cnn"),
        ("edge -o run --data=mnist --start fashion", "mnist --model edge -o run --set init_from=fashion"),
        ("cnn --seed 3 --batch-size=9 --data d -o r", "d --model cnn --set seed=3 --set batch_size=9 -o r"),
        ("cnn --epochs=3 --data 'my photos' -o run", "'my photos' --model cnn --epochs 3 -o run"),
    ],
)
def test_an_old_train_line_is_spelled_out_anew(cli: RunCli, old: str, new: str) -> None:
    """`train NAME --data DATA` is refused with the whole line as it is typed now."""
    assert refused(cli, "train", *shlex.split(old)).endswith(f": edge-fm train {new}\n")
    command: Any = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    assert renamed.find(["train", *shlex.split(new)]) is None
    assert command.make_context("train", shlex.split(new)).params["out"] is not None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("edge --data mnist --data photos=DIR --map m.toml -o r", "--map is now written in a recipe file"),
        ("cnn --data mnist --folds 3 -o r", "--folds is now --set folds=N"),
        (
            "fashion-mnist --model cnn --data mnist -o r",
            "--data is now the first argument: edge-fm train DATA",
        ),
        ("cnn --set --data -o y", "--data is now the first argument: edge-fm train DATA"),
        ("cnn --data mnist --max-loss 3 -o r", "--max-loss was removed"),
    ],
)
def test_no_line_is_suggested_that_would_be_refused(cli: RunCli, line: str, message: str) -> None:
    """The message names an option that has no new form, if more than the order has changed."""
    assert message in refused(cli, "train", *shlex.split(line))


@pytest.mark.parametrize(("command", "message"), renamed.COMMANDS.items())
def test_a_removed_command_names_the_way_on(cli: RunCli, command: str, message: str) -> None:
    """A command that is gone says why, and what to do instead."""
    assert refused(cli, command, "a", "b") == f"error: edge-fm {command} {message}\n"


def test_removed_names_are_gone() -> None:
    """No command that was removed exists, and no command takes an option that was removed from it."""
    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert commands.keys().isdisjoint(renamed.COMMANDS)
    for name, removed in renamed.OPTIONS.items():
        spellings = {
            text
            for parameter in commands[name].params
            for text in (*parameter.opts, *parameter.secondary_opts)
        }
        assert spellings.isdisjoint(removed)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["export", "run", "--tta", "flip"],
        ["label", "--mirror"],
        ["export", "--", "--mirror"],
        ["evaluate", "fashion", "--data", "wardrobe"],
    ],
)
def test_other_words_pass(arguments: list[str]) -> None:
    """A word is refused only where it was an option of that command."""
    assert renamed.find(arguments) is None
