"""Output of the commands: results on standard output, progress, notes and errors on standard error."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console  # for the checker only


BAD_RESULT = 1
"""Exit code of a command that finished with a bad result."""

_PIPED_WIDTH = 1000
"""Columns without a terminal: wider than any row, so that nothing is cut or folded."""


class Bar(Protocol):
    """A progress bar."""

    def __call__(self, done: float, total: float, text: str = "") -> None:
        """Show that `done` of `total` is done."""
        ...


def print_line(text: str) -> None:
    """Print a line on standard output at once, above the progress bar if there is one."""
    print(text, flush=True)  # noqa: T201  # rich moves the bar for writes to sys.stdout


def print_note(text: str) -> None:
    """Print a line on standard error, so that standard output holds results only."""
    typer.echo(text, err=True)


def print_error(text: str) -> None:
    """Print an error on standard error, in red on a terminal."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(text, err=True)


def print_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Note the files of a data set that could not be read.

    Args:
        unreadable: (path, reason) pairs.
    """
    if unreadable:
        print_note(f"{len(unreadable)} files were left out:")
        for path, reason in unreadable:
            print_note(f"  {path!r}: {reason}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table; columns whose name ends in a space are numbers and align right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(
            column.strip(),
            justify="right" if column.endswith(" ") else "left",
            overflow="fold",
            no_wrap=number == 0,  # names stay whole
        )
    for row in rows:
        table.add_row(*map(Text, row))  # literal: "[train]" is no markup
    _console().print(table)


def _console() -> "Console":
    """Return a rich console on standard output; without a terminal, it is wide enough that nothing is cut."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


@contextmanager
def progress(label: str) -> Iterator[Bar]:
    """Show a bar with elapsed and remaining time on standard error; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, _text="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[text]}"),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),
        transient=True,
    ) as bars:
        task = bars.add_task(label, total=None, text="", rate="")
        first: list[float] = []
        started_s = time.monotonic()

        def advance(done: float, total: float, text: str = "") -> None:
            if not first:
                first.append(done)  # items of an interrupted run do not count in the rate
            rate = (done - first[0]) / max(1e-3, time.monotonic() - started_s)
            bars.update(
                task, completed=done, total=total, text=text, rate=f"{rate:,.0f}/s" if rate >= 1 else ""
            )

        yield advance
