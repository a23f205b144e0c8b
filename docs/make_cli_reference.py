"""Write docs/cli.md, the command reference, from the program: python docs/make_cli_reference.py."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from edge_fm.cli.app import app

PAGE = Path(__file__).with_name("cli.md")
_PLACEHOLDERS = {
    "path": "PATH",
    "str": "TEXT",
    "int": "N",
    "int range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
}
_HEAD = """# Command reference

<!-- Written by docs/make_cli_reference.py; change the help texts in edge_fm/cli/ instead. -->

Exit codes of all commands: 0 for success; 1 for a command that finished with a bad result, such as an image
that could not be read or a check that failed; 2 for a wrong option, model or data set; 70 for a fault of
edge-fm itself, whose traceback `--debug` shows.
"""


def reference() -> str:
    """Return the page: each command's usage, description, options and examples, by group."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("edge-fm", [], resilient_parsing=True)
    panels: dict[str, list[Any]] = {}
    for command in group.commands.values():
        panels.setdefault(command.rich_help_panel, []).append(command)
    parts = [_HEAD]
    for panel, commands in panels.items():
        links = [f"- [{command.name}](#edge-fm-{command.name}): {_summary(command)}" for command in commands]
        parts.append("\n".join([f"{panel}:", "", *links, ""]))
    parts += [_section(command, context) for commands in panels.values() for command in commands]
    return "\n".join(parts)


def _summary(command: Any) -> str:  # noqa: ANN401  # typer's own classes of click are private
    return str(command.help).partition("\n\n")[0]


def _section(command: Any, parent: Any) -> str:  # noqa: ANN401
    context = command.context_class(command, info_name=command.name, parent=parent)
    parameters = [parameter for parameter in command.params if not parameter.hidden]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    usage = [_placeholder(argument, context) for argument in arguments]
    words = [
        word if argument.required else f"[{word}]" for word, argument in zip(usage, arguments, strict=True)
    ]
    paragraphs = command.help.split("\n\n")
    prose = [text for text in paragraphs if not text.startswith("Example")]
    examples = [
        line.partition(": ")[2] for text in paragraphs if text not in prose for line in text.splitlines()
    ]
    table = ["| option | description | default |", "| --- | --- | --- |"]
    rest = [parameter for parameter in parameters if parameter not in arguments]
    table += [_row(parameter, context) for parameter in (*arguments, *rest)]
    return "\n".join(
        [
            f"## edge-fm {command.name}",
            "",
            *(line for text in prose for line in (*_wrap(text), "")),
            "```sh",
            " ".join(["edge-fm", command.name, *words, command.options_metavar]),
            "```",
            "",
            *([*table, ""] if parameters else []),
            "Examples:" if len(examples) > 1 else "Example:",
            "",
            "```sh",
            *examples,
            "```",
            "",
        ]
    )


def _row(parameter: Any, context: Any) -> str:  # noqa: ANN401
    """Return the table row of an argument or option."""
    placeholder = _placeholder(parameter, context)
    if parameter.param_type_name == "argument":
        name = f"`{placeholder}`"
    else:
        spellings = sorted([*parameter.opts, *parameter.secondary_opts], key=len)
        name = f"`{', '.join(spellings)}`" + ("" if parameter.is_flag else f" `{placeholder}`")
    limits = _limits(parameter.type)
    cells = (name, f"{parameter.help}{f' Range: {limits}.' if limits else ''}", _default(parameter))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _placeholder(parameter: Any, context: Any) -> str:  # noqa: ANN401
    if parameter.metavar:
        return str(parameter.metavar)
    kind = str(parameter.make_metavar(context)).strip("<>[]{}")
    return _PLACEHOLDERS.get(kind, kind)


def _limits(kind: Any) -> str:  # noqa: ANN401
    """Return the range of a number, such as 1 to 100."""
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None:
        return ""
    return f"at least {low}" if high is None else f"{low} to {high}"


def _default(parameter: Any) -> str:  # noqa: ANN401
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or not parameter.show_default:
        return ""
    if parameter.default is True:
        return f"`{parameter.opts[0]}`"
    value = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    return f"`{value}`"


def _wrap(text: str, width: int = 110) -> list[str]:
    """Return a paragraph as lines of at most `width` characters."""
    lines = [""]
    for word in re.split(r"\s+", text):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
