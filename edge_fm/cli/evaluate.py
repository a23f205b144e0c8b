"""The command that measures a model: evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm.evaluation.metrics import Evaluation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate", rich_help_panel=options.PROVE)(evaluate)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Bundled model's name, an exported .onnx file, a run folder, or a model as edge-fm export takes.",
            show_default=False,
        ),
    ],
    data: options.Data,
    all_images: Annotated[
        bool, typer.Option("--all", help="Measure on all images of the data set, not on its test part only.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FOLDER",
            help="Write figures, and one page that shows them, into this folder.",
            show_default=False,
        ),
    ] = None,
    scale: options.Scale = None,
    lang: options.Language = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure a model on a data set's test part, with 95 % intervals.

    Prints accuracy and loss, and precision, recall and F1 of each class; the intervals are in brackets.

    Exit code 1 if the accuracy is no more than chance, or the model never answers a class.

    Example: edge-fm evaluate fashion --data wardrobe
    Example: edge-fm evaluate runs/cnn --data fashion-mnist --report reports/cnn
    Example: edge-fm evaluate mine.onnx --data held-out/ --all
    """
    from edge_fm.evaluation import report as reports
    from edge_fm.evaluation.metrics import evaluate as measure
    from edge_fm.evaluation.predictors import open_predictor

    predictor, dataset = open_predictor(model, data, scale, whole=all_images)
    evaluation = measure(predictor, dataset, lang)
    page = reports.write(report, evaluation, dataset, *reports.read_run_history(model)) if report else None
    if as_json:
        terminal.print_document(json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_scores(evaluation, f"{model} on {data} ({'all' if all_images else 'test'})")
    if page is not None and not as_json:
        terminal.print_line(f"report: {page}")
    if terminal.print_findings(evaluation.findings):
        raise typer.Exit(terminal.BAD_RESULT)


def _print_scores(evaluation: "Evaluation", title: str) -> None:
    rows = [
        [score.name, str(score.precision), str(score.recall), str(score.f1), f"{score.images:,}"]
        for score in evaluation.classes
    ]
    means = [str(figure) for figure in (evaluation.precision, evaluation.recall, evaluation.f1)]
    rows.append(["mean", *means, f"{len(evaluation.predicted):,}"])
    terminal.print_table(["class", "precision ", "recall ", "F1 ", "images "], rows, title)
    terminal.print_line(f"accuracy {evaluation.measured}   loss {evaluation.loss}")
