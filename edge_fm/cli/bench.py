"""The command that compares models on this machine: bench."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm.evaluation.metrics import Estimate
    from edge_fm_runtime.machine.bench import Measurement

_COLUMNS = (
    "kB ",
    "us p50 ",
    "p90 ",
    "p99 ",
    "times as fast ",
    "images/s (32) ",
    "cold start ms ",
    "peak MB ",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", rich_help_panel=options.PROVE)(bench)


def bench(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Bundled models' names or .onnx files.", show_default=False),
    ],
    data: Annotated[
        str | None, options.data_option("Also measure the accuracy on the test part of this data set.")
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart",
            metavar="FILE",
            help="Draw accuracy against latency into this .png file; needs --data.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N", min=10, max=10**7, help="Number of single images that each model is timed on."
        ),
    ] = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Compare models on this machine: latency, memory, size, accuracy.

    Latencies are percentiles of single images in microseconds, on one thread, all models in turn.

    Example: edge-fm bench fashion fashion-nano
    Example: edge-fm bench fp32.onnx int8.onnx --data fashion-mnist --chart bench.png
    """
    from edge_fm.evaluation.metrics import evaluate
    from edge_fm.evaluation.predictors import open_predictor
    from edge_fm_runtime.errors import DataError
    from edge_fm_runtime.machine.bench import measure

    if chart is not None and data is None:
        raise DataError("--chart draws accuracy against latency: give --data DATA too")
    _refuse_json_file(models)
    models = list(dict.fromkeys(models))
    scores = {model: evaluate(*open_predictor(model, data)).accuracy for model in models} if data else {}
    with terminal.progress("bench") as bar:
        measured = measure(models, bar, rounds)
    if as_json:
        _print_json(measured, scores)
    else:
        _print_table(measured, scores)
    if chart is not None:
        from edge_fm.drawing.bench_chart import draw

        values = {model: score.value for model, score in scores.items()}
        draw(measured, values, f"accuracy on {data} (test)").save(chart)
        show = terminal.print_note if as_json else terminal.print_line  # standard output is JSON alone
        show(f"chart: {chart}")


def _refuse_json_file(models: Sequence[str]) -> None:
    """Refuse `--json FILE`, which once named a file to write.

    Raises:
        OutputError: a .json file is among the models.
    """
    from edge_fm_runtime.errors import OutputError

    for model in models:
        if model.endswith(".json"):
            raise OutputError(f"{model} is no model: --json prints the figures, so write --json > {model}")


def _print_json(measured: "Sequence[Measurement]", scores: "Mapping[str, Estimate]") -> None:
    import json
    from dataclasses import asdict

    figures = [
        asdict(result) | ({"accuracy": asdict(scores[result.model])} if scores else {}) for result in measured
    ]
    terminal.print_document(json.dumps(figures, indent=2))


def _print_table(measured: "Sequence[Measurement]", scores: "Mapping[str, Estimate]") -> None:
    first_us = measured[0].p50_us
    rows = [
        [
            result.model,
            result.precision,
            f"{result.size_bytes / 1000:,.0f}",
            f"{result.p50_us:.0f}",
            f"{result.p90_us:.0f}",
            f"{result.p99_us:.0f}",
            f"{first_us / result.p50_us:.2f}",
            f"{result.images_per_second:,.0f}",
            f"{result.cold_start_ms:.0f}",
            "-" if result.peak_memory_bytes is None else f"{result.peak_memory_bytes / 2**20:.0f}",
            str(scores[result.model]) if scores else "-",
        ]
        for result in measured
    ]
    terminal.print_table(["model", "", *_COLUMNS, "accuracy "], rows, "one thread, all models in turn")
