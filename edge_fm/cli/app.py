"""The application: every command, by group, and the one place that catches the error family."""

import contextlib
import inspect as docstrings
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from edge_fm import __version__
from edge_fm.cli import (
    bench,
    bundle,
    data,
    demo,
    doctor,
    evaluate,
    export,
    gallery,
    inspect,
    label,
    manifest,
    merge,
    renamed,
    service,
    sort,
    train,
    verify,
    webcam,
    zoo,
)
from edge_fm.cli.standard_output import CheckedOutput
from edge_fm.cli.terminal import escape, print_error
from edge_fm_runtime.errors import EdgeFmError, SourceError
from edge_fm_runtime.untrusted import deadline

WRONG_USAGE = 2
UNEXPECTED = 70
"""Exit code for a fault of edge-fm itself; `EX_SOFTWARE` of BSD's sysexits.h."""


class _EscapingGroup(typer.core.TyperGroup):
    """Group of commands whose errors show the user's own words without control characters."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401  # as typer's
        with _escaped_errors():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        _require_working_directory()
        with _escaped_errors():
            return super().invoke(ctx)


def _require_working_directory() -> None:
    """Refuse to run where relative paths mean nothing.

    Raises:
        SourceError: the working directory was deleted.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SourceError(
            "the working directory does not exist any more: cd to a folder that exists"
        ) from None


@contextlib.contextmanager
def _escaped_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)  # typer's errors of usage have no public base class
        if isinstance(message, str):
            error.message = f"{escape(message):.500}"  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="edge-fm",
    cls=_EscapingGroup,
    help="Take a small image classifier from Keras to a device.\n\nStart with: edge-fm demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_MAKE = (data, zoo, train, export)
_PROVE = (evaluate, verify, inspect, bench)
_USE = (label, merge, sort, gallery, webcam, manifest)
_DEPLOY = (bundle, service)
_MACHINE = (demo, doctor)
for _module in (*_MAKE, *_PROVE, *_USE, *_DEPLOY, *_MACHINE):
    _module.register(app)  # the order of edge-fm --help


def _unwrap(docstring: str) -> str:
    """Return a docstring with one line per paragraph, as typer keeps line breaks; examples keep theirs."""
    paragraphs = docstrings.cleandoc(docstring).split("\n\n")
    return "\n\n".join(text if text.startswith("Example") else text.replace("\n", " ") for text in paragraphs)


for _command in app.registered_commands:
    _command.help = _unwrap((_command.callback and _command.callback.__doc__) or "")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-fm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error; any command takes it.")
    ] = False,
) -> None:
    """Take a small image classifier from Keras to a device.

    Start with: edge-fm demo
    """


def run() -> None:
    """Run the command line; an error of the family becomes a message and exit code 2."""
    arguments, debug = _without_debug(sys.argv[1:])
    deadline.give_up = _end
    output = sys.stdout
    if output is not None:  # None if the process was started without a standard output
        sys.stdout = CheckedOutput(output)
    try:
        if message := renamed.find(arguments):
            print_error(message)
            sys.exit(WRONG_USAGE)
        app(webcam.expand_tls_self(arguments))
    except EdgeFmError as error:
        print_error(str(error))
        sys.exit(WRONG_USAGE)
    except Exception as error:
        if debug:
            raise
        print_error(_unexpected(arguments, error))
        sys.exit(UNEXPECTED)
    finally:
        sys.stdout = output
        if launcher := sys.modules.get("edge_fm_runtime.batch.workers.launcher"):
            launcher.discard()


def _end(message: str) -> None:
    """Print an error and end the process at once, in the middle of whatever it does."""
    print_error(message)
    os._exit(WRONG_USAGE)


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, and whether it was among them, before any `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = [argument for argument in arguments[:end] if argument != "--debug"]
    return own + arguments[end:], len(own) < end


def _unexpected(arguments: list[str], error: Exception) -> str:
    """Return one line about a fault of edge-fm: the command, the exception and how to report it."""
    fault = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"unexpected {fault:.300}, in: edge-fm {shlex.join(arguments):.300}. This is a fault of edge-fm: "
        "repeat the command with --debug, and report it with the traceback"
    )
