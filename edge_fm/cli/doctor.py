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
        [finding.name, "ok" if finding.is_ok else "-", finding.found, finding.remedy] for finding in findings
    ]
    terminal.print_table(["what", "", "found", "what to do"], rows, "edge-fm on this machine")
    if any(finding.is_required and not finding.is_ok for finding in findings):
        raise typer.Exit(terminal.BAD_RESULT)
