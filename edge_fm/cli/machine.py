"""Commands about this machine: demo, bench, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("bench")(bench)
    app.command("doctor")(doctor)


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make.")] = Path("edge-fm-demo"),
) -> None:
    """Do the main job on what ships in the box: export, verify, label, watch. No network, under a minute.

    Example: edge-fm demo
    """
    from edge_fm.demo.run import run

    result = run(out, terminal.say)
    terminal.say(f"{result.right} of {result.pictures} drawn garments right; see {out / 'contact-sheet.png'}")
    if not result.good:
        terminal.note("fewer than 80 % are right, or golden inputs differ: run 'edge-fm doctor'")
        raise typer.Exit(terminal.BAD_ANSWER)


def bench(
    models: Annotated[
        list[str],
        typer.Argument(help="Bundled models' names or .onnx files.", metavar="MODEL...", show_default=False),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Measure the accuracy on its test part too.", show_default=False),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures into this file.", show_default=False)
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart", help="Draw accuracy against latency into this .png; needs --data.", show_default=False
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=10, help="Single pictures for each file.")] = 1000,
) -> None:
    """Measure files side by side on this machine: latency, throughput, cold start, memory, size, accuracy.

    Example: edge-fm bench fp32.onnx int8.onnx --data fashion-mnist --chart bench.png
    """
    import json
    from dataclasses import asdict

    from edge_fm.evaluation.metrics import evaluate
    from edge_fm.evaluation.predictors import open_predictor
    from edge_fm_runtime.errors import DataError, OutputError
    from edge_fm_runtime.machine.bench import measure

    if chart is not None and data is None:
        raise DataError("--chart draws accuracy against latency: give --data DATA too")
    models = list(dict.fromkeys(models))
    scores = {model: evaluate(*open_predictor(model, data)).accuracy for model in models} if data else {}
    with terminal.progress("bench") as bar:
        measured = measure(models, bar, rounds)
    first = measured[0].p50_us
    rows = [
        [
            found.model,
            found.precision,
            f"{found.size_bytes / 1000:,.0f}",
            f"{found.p50_us:.0f}",
            f"{found.p90_us:.0f}",
            f"{found.p99_us:.0f}",
            f"{first / found.p50_us:.2f}",
            f"{found.images_per_second:,.0f}",
            f"{found.cold_start_ms:.0f}",
            "-" if found.peak_memory_bytes is None else f"{found.peak_memory_bytes / 2**20:.0f}",
            str(scores[found.model]) if scores else "-",
        ]
        for found in measured
    ]
    columns = (
        "kB ",
        "us p50 ",
        "p90 ",
        "p99 ",
        "times as fast ",
        "images/s (32) ",
        "cold start ms ",
        "peak MB ",
    )
    terminal.table(["model", "", *columns, "accuracy "], rows, "one thread, all files in turn")
    try:
        if as_json is not None:
            figures = [
                asdict(found) | ({"accuracy": asdict(scores[found.model])} if scores else {})
                for found in measured
            ]
            as_json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{as_json} cannot be written: {error.strerror}") from error
    if chart is not None:
        from edge_fm.drawing.bench_chart import draw

        draw(
            measured, {model: score.value for model, score in scores.items()}, f"accuracy on {data} (test)"
        ).save(chart)
        terminal.say(f"chart: {chart}")


def doctor() -> None:
    """Say what this machine has, and for what is missing how to get it.

    Example: edge-fm doctor
    """
    from edge_fm_runtime.machine.doctor import examine

    findings = examine()
    rows = [[f.name, "ok" if f.is_ok else "-", f.found, f.remedy] for f in findings]
    terminal.table(["what", "", "found", "what to do"], rows, "edge-fm on this machine")
    if any(f.is_required and not f.is_ok for f in findings):
        raise typer.Exit(terminal.BAD_ANSWER)
