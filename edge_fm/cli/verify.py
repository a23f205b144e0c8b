"""The command that replays golden inputs: verify."""

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", rich_help_panel=options.PROVE)(verify)


def verify(model: options.ModelArgument) -> None:
    """Replay a model's golden inputs here; exit code 1 if they differ.

    Golden inputs are images that the file carries, with the tensors and probabilities of the machine where
    it was exported.

    Example: edge-fm verify fashion
    """
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.golden import replay

    results = replay(Classifier.load(model))
    rows = [
        [
            str(result.index + 1),
            result.expected_label,
            result.label,
            "-" if result.tensor_difference is None else str(result.tensor_difference),
            f"{result.probability_difference:.1e}",
            f"{result.stage} differs" if result.stage else "same",
        ]
        for result in results
    ]
    columns = ["#", "exported", "here", "grey levels ", "probability ", "result"]
    terminal.print_table(columns, rows, f"golden inputs of {model}")
    different = [result for result in results if result.stage]
    if different:
        stages = ", ".join(sorted({result.stage for result in different}))
        terminal.print_note(f"{len(different)} of {len(results)} golden inputs differ here: {stages}")
        raise typer.Exit(terminal.BAD_RESULT)
    terminal.print_line(
        f"all {len(results)} golden inputs give the same results as where the model was exported"
    )
