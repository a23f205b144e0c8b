"""The command that prints a systemd unit for another command: service."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from edge_fm.cli import label, options, terminal, webcam
from edge_fm_runtime.errors import SourceError

if TYPE_CHECKING:
    from edge_fm.deploy.service_command import Parameter

_COMMANDS: dict[str, Callable[..., None]] = {"webcam": webcam.webcam, "label": label.label}
_OTHER_COMMAND = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "service",
        rich_help_panel=options.DEPLOY,
        context_settings=_OTHER_COMMAND,
        options_metavar="webcam|label [OPTIONS]",
    )(service)


def service(context: typer.Context) -> None:
    """Print a systemd unit for a webcam or 'label --watch' command.

    The service is supervised by a watchdog, restarted after failures, and confined. Without --view,
    webcam runs with --view none. Save the unit as /etc/systemd/system/edge-fm.service.

    Example: edge-fm service webcam /dev/video0 --view web --log events.jsonl
    Example: edge-fm service label /srv/in --watch -o labels.csv
    """
    from edge_fm.deploy import service_command, systemd

    name, arguments = (context.args[0], context.args[1:]) if context.args else ("", [])
    parameters = _parse(name, arguments) if name in _COMMANDS else []
    given = {parameter.name: parameter.values for parameter in parameters}
    if name not in _COMMANDS or (name == "label" and "watch" not in given):
        raise SourceError(
            "no command that can be a service: give one such as edge-fm service webcam 0 --view none "
            "--log events.jsonl, or edge-fm service label /srv/in --watch -o labels.csv"
        )
    if name == "webcam" and "view" not in given:
        parameters.append(service_command.Parameter(name="view", option="--view", values=("none",)))
    if given.get("view") == ("window",):
        raise SourceError("a service has no screen for --view window: give --view web or --view none")
    if given.get("source") == ("browser",) and given.get("view") != ("web",):
        raise SourceError("the source 'browser' is a camera of a visitor of the page: add --view web")
    command = service_command.service_command(name, parameters)
    terminal.print_document(systemd.unit(sys.executable, command))


def _parse(name: str, arguments: list[str]) -> "list[Parameter]":
    """Return the given options; a wrong one is an error now, not when the service starts."""
    from edge_fm.deploy.service_command import Parameter

    probe = typer.Typer(add_completion=False)
    probe.command(name)(_COMMANDS[name])
    command = typer.main.get_command(probe)
    expanded = webcam.expand_tls_self(arguments)
    context = command.make_context(f"edge-fm {name}", list(expanded))
    given, _, _ = command.make_parser(context).parse_args(list(expanded))
    options_of = {parameter.name: parameter.opts[0] for parameter in command.params}
    return [
        Parameter(
            name=key,
            option=options_of[key] if options_of[key].startswith("-") else "",
            values=() if value is True else (value,) if isinstance(value, str) else tuple(value),
        )
        for key, value in given.items()
        if value is not None
    ]
