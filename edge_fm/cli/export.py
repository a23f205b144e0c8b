"""The command that exports: export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import names, sources, terminal
from edge_fm_runtime.artifact.input_spec import Fit, Polarity

if TYPE_CHECKING:
    from edge_fm_exporters import ExportResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    source: Annotated[
        Path, typer.Argument(help="A run folder, or a .keras, .h5 or .skops file.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.", show_default=False)],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise, if the accuracy holds.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="What to calibrate on (training part) and to measure on (test part).",
            show_default="what the run was trained on",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="Another data set to calibrate on.",
            show_default="what the run kept, else --data",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="A,B,... or a file with one a line.", show_default="from the run or the data"
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="SCALE",
            help="Pixels in training: unit ([0, 1]), raw ([0, 255]), standard (less the training pictures' mean, over their "
            "deviation) or standard:MEAN:DEVIATION; standard:127.5:127.5 is [-1, 1].",
            show_default="from the run, or tried on training pictures of --data",
        ),
    ] = None,
    fit: Annotated[
        Fit, typer.Option(help="How pictures of another shape become the model's, on the device.")
    ] = Fit.LETTERBOX,
    polarity: Annotated[
        Polarity,
        typer.Option(help="invert: for a model of light on dark, read from paper, dark on light."),
    ] = Polarity.AS_IS,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Pictures that the file takes at a time.", show_default="any number"
        ),
    ] = None,
    opset: Annotated[
        int, typer.Option(min=15, max=18, help="Of the ONNX operators; 17 is known everywhere.")
    ] = 17,
    translation: Annotated[
        list[str] | None,
        typer.Option(
            "--translation",
            metavar="LANG=A,B,...|LANG=FILE",
            help="The labels in another language, for --lang.",
            show_default="Korean (ko) for Fashion-MNIST's",
        ),
    ] = None,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Accuracy that int8 may lose.")] = 0.003,
    max_class_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Recall that any class may lose by int8.")
    ] = 0.03,
    min_speedup: Annotated[
        float, typer.Option(min=0, help="How many times as fast as float32 int8 must be on this machine.")
    ] = 1.0,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror",
            help="Answer with the mean of a picture and its mirror image: right more often, twice the work; not for digits or letters.",
        ),
    ] = False,
    unknown_coverage: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=1,
            help="Share of a run's validation pictures that stays known; the others set the threshold of 'unknown'.",
        ),
    ] = 0.95,
) -> None:
    """Turn a trained model into one self-describing .onnx file, verified against its source.

    Example: edge-fm export runs/cnn --int8 -o fashion.onnx

    Example: edge-fm export runs/edge --int8 --mirror -o garments.onnx

    Example: edge-fm export best_cnn_model.h5 --data fashion-mnist --int8 -o fashion.onnx
    """
    from edge_fm import datasets
    from edge_fm_exporters import ExportRequest, report
    from edge_fm_exporters import export as write
    from edge_fm_exporters.framework import prefer_tensorflow
    from edge_fm_exporters.normalization.scale import parse_scale
    from edge_fm_exporters.pipeline import load_source
    from edge_fm_exporters.quantization.search import Int8Limits
    from edge_fm_runtime.artifact.input_spec import Preprocess

    prefer_tensorflow()
    chosen = sources.Source.of(source, data, labels, scale)
    model = load_source(chosen.model)
    if model.added:
        terminal.say(f"{chosen.model}: {model.added}")
    dataset = datasets.load(chosen.data, model.spec) if chosen.data is not None else None
    labelled = chosen.labels or model.names or (dataset.class_names if dataset is not None else ())
    names.check_names(labelled, dataset, renamed=labels is not None)
    request = ExportRequest(
        source=chosen.model,
        output=out,
        labels=labelled,
        scale=parse_scale(chosen.scale, dataset.train.images if dataset is not None else None)
        if chosen.scale
        else None,
        int8=int8,
        limits=Int8Limits(max_drop, max_class_drop, min_speedup),
        opset=opset,
        preprocess=Preprocess(fit=fit, polarity=polarity),
        coverage=unknown_coverage,
        translations=names.translations(labelled, translation),
        batch=batch,
        flip_ensemble=mirror,
    )
    pictures = sources.pictures(dataset, calibration, chosen.run) if dataset is not None else None
    with terminal.progress("export") as bar:
        result = write(request, pictures, model, lambda what: bar(0, 0, what))
    if result.candidates:
        _say_candidates(result)
        for path in report.write(out, result):
            terminal.say(f"beside it: {path}")
    _say_result(out, result)
    if result.kept_fp32:
        terminal.note(f"int8 was not used: {result.kept_fp32}. The float32 file was written")
        raise typer.Exit(terminal.BAD_ANSWER)


def _say_candidates(result: "ExportResult") -> None:
    from edge_fm_exporters import report

    rows = report.rows(result)
    terminal.table(report.COLUMNS, rows, f"chosen on {result.selected_on}, never on the test part")


def _say_result(out: Path, result: "ExportResult") -> None:
    from edge_fm_exporters.pipeline import evidence_line

    if result.scale_scores:
        tried = ", ".join(f"{scale} {score:.1%}" for scale, score in result.scale_scores)
        terminal.say(
            f"pixels in training: {max(result.scale_scores, key=lambda pair: pair[1])[0]} (right: {tried})"
        )
    kind = result.passport.precision.kind
    terminal.say(f"{out}: {kind}, {result.size_bytes:,} bytes (fp32 {result.fp32_size_bytes:,})")
    for evidence in result.passport.evidence:
        terminal.say(evidence_line(evidence))
    if result.flip_accuracy is not None:
        alone, together = result.flip_accuracy
        terminal.say(f"the source on {result.selected_on}: {alone:.4f}, with mirror images {together:.4f}")
        if together < alone:
            terminal.note(
                "mirror images make it worse: the model was not trained on them, or what it tells apart has a left and a right; export without --mirror"
            )
    terminal.say(f"from file bytes on: all {result.from_bytes} pictures get the label of their tensors")
    terminal.say(f"next: edge-fm verify {out}   edge-fm label FOLDER --model {out} -o labels.csv")
