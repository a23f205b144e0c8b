"""The help of every command: its group, its words, its examples, its width."""

import re
import shlex
from typing import Any

import pytest
import typer.main

from edge_fm.cli import options
from edge_fm.cli.app import app
from edge_fm.cli.webcam import expand_tls_self
from tests.conftest import RunCli

GROUP: Any = typer.main.get_command(app)
CONTEXT = GROUP.make_context("edge-fm", [], resilient_parsing=True)
COMMANDS: dict[str, Any] = GROUP.commands
SHARED = ("--out", "--model", "--data", "--labels", "--lang", "--scale", "--json")
"""Options of more than one command."""

OTHER_MEANING = {("train", "--model")}
"""Options that mean something else in one command: `train` makes a model, the others use one."""

every_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


def examples_of(command: Any) -> list[str]:
    """Return the command lines behind "Example: " in a command's help."""
    return re.findall(r"^Example[^:]*: (.+)$", command.help, re.MULTILINE)


def rendered(cli: RunCli, monkeypatch: pytest.MonkeyPatch, columns: int, *arguments: str) -> str:
    """Return the help as a terminal of a width shows it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    result = cli(*arguments, "--help")
    assert result.code == 0
    return result.out


def test_commands_are_grouped_by_purpose() -> None:
    """Every command is in one of the five groups, which come in the order of a model's life."""
    panels = [command.rich_help_panel for command in COMMANDS.values()]
    assert tuple(dict.fromkeys(panels)) == options.PANELS
    assert [name for name, command in COMMANDS.items() if command.rich_help_panel == options.MAKE] == [
        "data",
        "zoo",
        "train",
        "export",
    ]


@pytest.mark.parametrize("columns", [100, 80])
def test_the_list_of_commands_has_one_line_each(
    cli: RunCli, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """In `edge-fm --help` no command's summary is wrapped or cut."""
    lines = rendered(cli, monkeypatch, columns).splitlines()
    for name, command in COMMANDS.items():
        summary = command.help.partition("\n\n")[0]
        assert any(re.fullmatch(rf"│ {name} +{re.escape(summary)} *│", line) for line in lines), name


@every_command
def test_help_begins_with_its_point(command: Any) -> None:
    """No help text begins with Of or What, and each ends as a sentence, without line breaks in it."""
    texts = [command.help.partition("\n\n")[0], *(parameter.help for parameter in command.params)]
    for text in texts:
        assert text
        assert not re.match(r"(Of|What|How|Which|Where)\b", text), text
        assert text.endswith("."), text
        assert "\n" not in text, text


@every_command
def test_paragraphs_are_one_line(command: Any) -> None:
    """A paragraph of a command's help has no line break of its own, which typer would keep."""
    for paragraph in command.help.split("\n\n"):
        assert "\n" not in paragraph or paragraph.startswith("Example"), paragraph


@every_command
def test_help_ends_with_examples(cli: RunCli, monkeypatch: pytest.MonkeyPatch, command: Any) -> None:
    """Examples come last and fit in 100 columns."""
    examples = examples_of(command)
    assert any(f"edge-fm {command.name}" in example for example in examples)
    assert command.help.rpartition("\n\n")[2].startswith("Example")
    shown = rendered(cli, monkeypatch, 100, command.name)
    for example in examples:
        assert re.search(rf"^ Example[^:]*: {re.escape(example)} *$", shown, re.MULTILINE), example


@every_command
def test_examples_parse(command: Any) -> None:
    """Every example is understood as typed."""
    for example in examples_of(command):
        words = shlex.split(re.split(r" \| ", example)[-1])
        name, *arguments = words[words.index("edge-fm") + 1 :]
        COMMANDS[name].make_context(name, expand_tls_self(arguments), parent=CONTEXT)


@pytest.mark.parametrize("option", SHARED)
def test_shared_options_are_spelled_alike(option: str) -> None:
    """An option of several commands has the same spellings, placeholder and kind in each."""
    found = {
        name: (*sorted(parameter.opts), parameter.metavar, parameter.is_flag)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if option in parameter.opts and (name, option) not in OTHER_MEANING
    }
    assert len(found) > 1
    assert len(set(found.values())) == 1, found
