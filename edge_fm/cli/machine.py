"""Commands about this machine: demo, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal
from edge_fm.cli.export import BAD_ANSWER


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make.")] = Path("edge-fm-demo"),
) -> None:
    """Do the main job on what ships in the box: export, verify, label, watch. No network, under a minute.

    Example: edge-fm demo
    """
    from edge_fm.demo import run

    result = run(out, terminal.say)
    terminal.say(f"{result.right} of {result.pictures} drawn garments right; see {out / 'contact-sheet.png'}")
    if not result.good:
        terminal.note("fewer than 80 % are right, or golden inputs differ: run 'edge-fm doctor'")
        raise typer.Exit(BAD_ANSWER)


def doctor() -> None:
    """Say what this machine has, and for what is missing how to get it.

    Example: edge-fm doctor
    """
    from edge_fm_runtime.doctor import examine

    findings = examine()
    rows = [[f.what, "ok" if f.fine else "-", f.found, f.remedy] for f in findings]
    terminal.table(["what", "", "found", "what to do"], rows, "edge-fm on this machine")
    if any(f.needed and not f.fine for f in findings):
        raise typer.Exit(BAD_ANSWER)
