"""The command that checks this machine: doctor."""

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=options.MACHINE)(doctor)


def doctor() -> None:
    """Check this machine, and say how to install what is missing.

    Exit code 1 if something that every command needs is missing.

    Example: edge-fm doctor
    """
    from edge_fm_runtime.machine.doctor import examine

    findings = examine()
    rows = [
        [finding.what, "ok" if finding.fine else "-", finding.found, finding.remedy] for finding in findings
    ]
    terminal.print_table(["what", "", "found", "what to do"], rows, "edge-fm on this machine")
    if any(finding.needed and not finding.fine for finding in findings):
        raise typer.Exit(terminal.BAD_RESULT)
