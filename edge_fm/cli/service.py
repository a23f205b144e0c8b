"""The command that prints a systemd unit for another one: service."""

import sys
from collections.abc import Callable

import typer

from edge_fm.cli import label, live, terminal
from edge_fm_runtime.errors import SourceError

_ANOTHER_COMMAND = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("service", context_settings=_ANOTHER_COMMAND)(service)


def service(context: typer.Context) -> None:
    """Print a systemd unit that runs a webcam command, or 'label --watch', for months: watched, restarted, confined.

    Example: edge-fm service webcam /dev/video0 --view web --log events.jsonl | sudo tee /etc/systemd/system/edge-fm.service
    """
    from edge_fm.deploy import systemd as units

    arguments = [word for argument in context.args for word in _split(argument)]
    if arguments[:1] == ["label"] and "--watch" in arguments:
        _check("label", label.label, arguments[1:])
        terminal.say(units.unit(sys.executable, arguments))
        return
    if arguments[:1] != ["webcam"]:
        raise SourceError(
            "give the command to run, such as: edge-fm service webcam 0 --view none --log events.jsonl, "
            "or: edge-fm service label /srv/in --watch -o labels.csv"
        )
    arguments = [*arguments] if "--view" in arguments else [*arguments, "--view", "none"]
    if arguments[arguments.index("--view") + 1 :][:1] == ["window"]:
        raise SourceError("a service has no screen: give --view web or --view none")
    _check("webcam", live.webcam, arguments[1:])
    terminal.say(units.unit(sys.executable, arguments))


def _split(argument: str) -> list[str]:
    """Return `--option=value` as two words, so that both spellings are understood alike."""
    option, equals, value = argument.partition("=")
    return [option, value] if equals and option.startswith("--") else [argument]


def _check(name: str, command: Callable[..., None], arguments: list[str]) -> None:
    """Let a wrong option be said now, not by a service that never starts."""
    probe = typer.Typer(add_completion=False)
    probe.command(name)(command)
    typer.main.get_command(probe).make_context(f"edge-fm {name}", live.spelled_out(arguments))
