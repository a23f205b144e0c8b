"""The application: every command registered, and the one place that catches the error family."""

import sys
from typing import Annotated

import typer

from edge_fm import __version__
from edge_fm.cli import (
    bundle,
    data,
    evaluate,
    export,
    label,
    labelled,
    live,
    machine,
    models,
    scale,
    service,
    train,
)
from edge_fm.cli.terminal import say_error
from edge_fm_runtime.errors import EdgeFmError

WRONG_USAGE = 2

app = typer.Typer(
    name="edge-fm",
    help="Take a small image classifier from Keras to a device.\n\nStart with: edge-fm demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

machine.register(app)
data.register(app)
train.register(app)
evaluate.register(app)
export.register(app)
models.register(app)
label.register(app)
labelled.register(app)
scale.register(app)
live.register(app)
service.register(app)
bundle.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-fm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take a small image classifier from Keras to a device.

    Start with: edge-fm demo
    """


def run() -> None:
    """Run the command that the arguments name; an error of the family is a message and exit code 2."""
    try:
        app(live.spelled_out(sys.argv[1:]))
    except EdgeFmError as error:
        say_error(str(error))
        sys.exit(WRONG_USAGE)
    finally:
        if process := sys.modules.get("edge_fm_runtime.batch.workers.launcher"):
            process.discard()
