"""The command that measures a model: evaluate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal
from edge_fm.cli.data import Data
from edge_fm.cli.names import Language


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A bundled model's name, an .onnx file, a run folder, or a .keras, .h5 or .skops file.",
            show_default=False,
        ),
    ],
    data: Data,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="A folder for pictures and a page that shows them all.", show_default=False
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="SCALE",
            help="Pixels in training of a plain file, as for 'export'.",
            show_default="tried on training pictures",
        ),
    ] = None,
    lang: Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a model on a data set's test part: in brackets, the interval that holds with 95 %.

    Example: edge-fm evaluate fashion --data fashion-mnist

    Example: edge-fm evaluate runs/cnn --data fashion-mnist --report reports/cnn --lang ko
    """
    from edge_fm.evaluation import report as reports
    from edge_fm.evaluation.metrics import evaluate as measure
    from edge_fm.evaluation.predictors import open_predictor

    predictor, dataset = open_predictor(model, data, scale)
    found = measure(predictor, dataset, lang)
    if report is not None:
        page = reports.write(report, found, dataset, *reports.read_run_history(model))
    if as_json:
        terminal.say(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    rows = [
        [score.name, str(score.precision), str(score.recall), str(score.f1), f"{score.images:,}"]
        for score in found.classes
    ]
    means = [str(figure) for figure in (found.precision, found.recall, found.f1)]
    rows.append(["mean", *means, f"{len(found.predicted):,}"])
    terminal.table(["class", "precision ", "recall ", "F1 ", "images "], rows, f"{model} on {data} (test)")
    terminal.say(f"accuracy {found.accuracy}   loss {found.loss}")
    if report is not None:
        terminal.say(f"report: {page}")
