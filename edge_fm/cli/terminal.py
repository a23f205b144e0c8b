"""Output of the commands: results on standard output, progress, notes and errors on standard error."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console  # for the checker only

    from edge_fm.datasets import Dataset
    from edge_fm_exporters.evidence.findings import QualityFinding


BAD_RESULT = 1
"""Exit code of a command that finished with a bad result."""

_MOST_NAMED = 50
"""Files that a note names; a folder may have thousands that are no pictures."""

_PIPED_WIDTH = 1000
"""Columns without a terminal: wider than any row, so that nothing is cut or folded."""

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of control and format characters, lone surrogates, and separators of lines."""

_JOINERS = "\u200c\u200d"
"""Format characters that several scripts and emoji are written with, and that change nothing else."""

_BYTES, _FIRST_BYTE, _LAST_BYTE = 0xDC00, 0xDC80, 0xDCFF
"""Surrogates by which Python stands for bytes that are no UTF-8."""


class Bar(Protocol):
    """A progress bar."""

    def __call__(self, done: float, total: float, text: str = "") -> None:
        """Show that `done` of `total` is done."""
        ...


def escape(text: str) -> str:
    r"""Return a text in which nothing moves the cursor, ends the line or turns the direction of writing.

    Such characters become `\uXXXX`, which JSON reads as the same, and bytes that are no UTF-8 become `\xNN`.
    """
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    import unicodedata

    code = ord(character)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - _BYTES:02x}"
    if character in _JOINERS or unicodedata.category(character) not in _UNSAFE:
        return character
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def print_line(text: str) -> None:
    """Print a line on standard output at once, above the progress bar if there is one."""
    print(escape(text), flush=True)  # noqa: T201  # rich moves the bar for writes to sys.stdout


def print_document(text: str) -> None:
    """Print a text of several lines on standard output."""
    for line in text.split("\n"):
        print_line(line)


def print_note(text: str) -> None:
    """Print a line on standard error, so that standard output holds results only."""
    typer.echo(escape(text), err=True)


def print_error(text: str) -> None:
    """Print an error on standard error, in red on a terminal."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(escape(text), err=True)


def print_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Note the files of a data set that were left out, the first ones by name.

    Args:
        unreadable: (path, reason) pairs.
    """
    if unreadable:
        count = len(unreadable)
        print_note(f"{count:,} files were left out:" if count > 1 else "1 file was left out:")
        for path, reason in unreadable[:_MOST_NAMED]:
            print_note(f"  {path!r}: {reason}")
        if count > _MOST_NAMED:
            print_note(f"  and {count - _MOST_NAMED:,} more")


def print_folder_notes(dataset: "Dataset") -> None:
    """Note what was left out of a folder, and its near duplicates."""
    print_unreadable(dataset.unreadable)
    if dataset.near_duplicates:
        print_note(
            f"{dataset.near_duplicates:,} pictures are near duplicates of others, such as bursts: each group of "
            "them is on one side of every split"
        )


def print_findings(findings: "Sequence[QualityFinding]") -> bool:
    """Note each finding on standard error, failures last; return whether there is a failure."""
    for finding in sorted(findings, key=lambda finding: finding.is_failure):
        print_note(f"{'not good: ' if finding.is_failure else 'note: '}{finding}")
    return any(finding.is_failure for finding in findings)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table; columns whose name ends in a space are numbers and align right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(escape(title)) if title is not None else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        table.add_column(
            column.strip(),
            justify="right" if column.endswith(" ") else "left",
            overflow="fold",
            no_wrap=number == 0,  # names stay whole
        )
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))  # literal: "[train]" is no markup
    _console().print(table)


def _console() -> "Console":
    """Return a rich console on standard output; without a terminal, it is wide enough that nothing is cut."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


@contextmanager
def progress(label: str) -> Iterator[Bar]:
    """Show a bar with elapsed and remaining time on standard error; silent without a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():  # None without a standard error
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
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
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
                task,
                completed=done,
                total=total,
                text=escape(text),
                rate=f"{rate:,.0f}/s" if rate >= 1 else "",
            )

        yield advance
