"""The command that prints a systemd unit for another command: service."""

import sys
from collections.abc import Callable

import typer

from edge_fm.cli import label, options, terminal, webcam
from edge_fm_runtime.errors import SourceError

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
    from edge_fm.deploy import systemd as units

    arguments = [word for argument in context.args for word in _split(argument)]
    if arguments[:1] == ["label"] and "--watch" in arguments:
        _check("label", label.label, arguments[1:])
        terminal.print_line(units.unit(sys.executable, arguments))
        return
    if arguments[:1] != ["webcam"]:
        raise SourceError(
            "no command that can be a service: give one such as edge-fm service webcam 0 --view none "
            "--log events.jsonl, or edge-fm service label /srv/in --watch -o labels.csv"
        )
    if "--view" not in arguments:
        arguments += ["--view", "none"]
    if arguments[arguments.index("--view") + 1 :][:1] == ["window"]:
        raise SourceError("a service has no screen for --view window: give --view web or --view none")
    _check("webcam", webcam.webcam, arguments[1:])
    terminal.print_line(units.unit(sys.executable, arguments))


def _split(argument: str) -> list[str]:
    """Return `--option=value` as two words, so that both spellings mean the same."""
    option, equals, value = argument.partition("=")
    return [option, value] if equals and option.startswith("--") else [argument]


def _check(name: str, command: Callable[..., None], arguments: list[str]) -> None:
    """Parse the other command's options now, so that a wrong one is an error here, not in the service."""
    probe = typer.Typer(add_completion=False)
    probe.command(name)(command)
    typer.main.get_command(probe).make_context(f"edge-fm {name}", webcam.expand_tls_self(arguments))
