"""The command that exports a trained model: export."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import class_names, options, terminal
from edge_fm_runtime.artifact.input_spec import Fit, Polarity

if TYPE_CHECKING:
    from edge_fm_exporters import ExportResult

_INT8, _DEVICE = "Int8", "Device"


class TestTimeAugmentation(StrEnum):
    """Views of an image whose probabilities the exported file averages."""

    NONE = "none"
    FLIP = "flip"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", rich_help_panel=options.MAKE)(export)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A run folder, a Keras, TFLite, ONNX or skops file, a SavedModel folder, or a Teachable Machine zip.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, options.out_option("The .onnx file to write.", default=False)],
    data: Annotated[
        str | None,
        options.data_option(
            "Data set to calibrate on (training part) and to measure on (test part).",
            "the data set of the run",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        options.labels_option(
            "Class names in output order: a list, or a file with one on each line.", "of the run or the data"
        ),
    ] = None,
    scale: options.Scale = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Height and width of the images, for a network that takes any size or a flat vector.",
            show_default="of the network",
        ),
    ] = None,
    tta: Annotated[
        TestTimeAugmentation,
        typer.Option(
            "--tta",
            help="Test-time augmentation; flip averages each image with its mirror image, for twice the "
            "work. Not for digits or letters.",
        ),
    ] = TestTimeAugmentation.NONE,
    unknown_coverage: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.01,
            max=1,
            help="Share of a run's validation images that stay known; sets the threshold for 'unknown'.",
        ),
    ] = 0.95,
    translation: Annotated[
        list[str] | None,
        typer.Option(
            "--translation",
            metavar="LANG=A,B,...",
            help="Labels in another language, for --lang; or LANG=FILE, with one on each line. Repeatable.",
            show_default="Korean (ko) for Fashion-MNIST",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=4096, help="Fixed batch size of the file.", show_default="any size"
        ),
    ] = None,
    opset: Annotated[int, typer.Option(metavar="N", min=15, max=18, help="ONNX operator set version.")] = 17,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to int8 if a candidate stays within the limits below.",
            rich_help_panel=_INT8,
        ),
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="DATA",
            help="Another data set to calibrate on.",
            show_default="images kept by the run, else --data",
            rich_help_panel=_INT8,
        ),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Largest accuracy loss, as a share of all images.",
            rich_help_panel=_INT8,
        ),
    ] = 0.003,
    max_class_drop: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Largest recall loss of any class.",
            rich_help_panel=_INT8,
        ),
    ] = 0.03,
    min_speedup: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            min=0,
            help="Smallest speed relative to float32, measured on this machine.",
            rich_help_panel=_INT8,
        ),
    ] = 1.0,
    fit: Annotated[
        Fit,
        typer.Option(
            help="Method to bring images of another shape to the model's: letterbox pads, stretch distorts, "
            "crop cuts out the centre.",
            rich_help_panel=_DEVICE,
        ),
    ] = Fit.LETTERBOX,
    polarity: Annotated[
        Polarity,
        typer.Option(
            help="Polarity of images on the device; invert suits a model trained on light digits that reads "
            "dark ink on paper.",
            rich_help_panel=_DEVICE,
        ),
    ] = Polarity.AS_IS,
) -> None:
    """Export a model to one verified, self-describing .onnx file.

    The file carries labels, preprocessing and decision thresholds, and is verified against its source
    before it is written. Exit code 1 if --int8 was given and no candidate stayed within the limits; the
    float32 file is written then.

    Example: edge-fm export runs/cnn --int8 -o cnn.onnx
    Example: edge-fm export runs/edge --int8 --tta flip -o garments.onnx
    Example: edge-fm export converted_keras.zip -o mine.onnx
    Example: edge-fm export model.h5 --data fashion-mnist --int8 -o model.onnx
    """
    from edge_fm import datasets
    from edge_fm.cli.export_source import ExportSource, load_export_data
    from edge_fm_exporters import ExportRequest, report, sources
    from edge_fm_exporters import export as write
    from edge_fm_exporters.framework import prefer_tensorflow
    from edge_fm_exporters.quantization.search import Int8Limits
    from edge_fm_exporters.sources.input_layout import parse_size
    from edge_fm_runtime.artifact.input_spec import Preprocess

    prefer_tensorflow()
    found = ExportSource.resolve(source, data=data, labels=labels, scale=scale)
    model = sources.load(found.model, parse_size(size))
    for note in model.notes:
        terminal.print_line(f"{found.model}: {note}")
    dataset = datasets.load(found.data, model.spec) if found.data is not None else None
    names = found.labels or model.names or (dataset.class_names if dataset is not None else ())
    class_names.check_names(names, dataset, renamed=labels is not None)
    request = ExportRequest(
        source=found.model,
        output=out,
        labels=names,
        scale=found.parse_scale(dataset),
        int8=int8,
        limits=Int8Limits(max_drop, max_class_drop, min_speedup),
        opset=opset,
        preprocess=Preprocess(fit=fit, polarity=polarity),
        coverage=unknown_coverage,
        translations=class_names.read_translations(names, translation),
        batch=batch,
        flip_ensemble=tta is TestTimeAugmentation.FLIP,
    )
    images = load_export_data(dataset, calibration, found.run) if dataset is not None else None
    with terminal.progress("export") as bar:
        result = write(request, images, model, lambda step: bar(0, 0, step))
    reports = report.write(out, result) if result.candidates else ()
    _print_result(out, result, reports)
    if result.kept_fp32:
        terminal.print_note(f"int8 was not used: {result.kept_fp32}. The float32 file was written")
        raise typer.Exit(terminal.BAD_RESULT)


def _print_result(out: Path, result: "ExportResult", reports: Iterable[Path]) -> None:
    from edge_fm_exporters import report
    from edge_fm_exporters.pipeline import evidence_line

    if result.candidates:
        title = f"chosen on {result.selected_on}, never on the test part"
        terminal.print_table(report.COLUMNS, report.rows(result), title)
    for path in reports:
        terminal.print_line(f"beside it: {path}")
    if result.scale_scores:
        best, _ = max(result.scale_scores, key=lambda pair: pair[1])
        tried = ", ".join(f"{scale} {score:.1%}" for scale, score in result.scale_scores)
        terminal.print_line(f"pixels in training: {best} (accuracy by scale: {tried})")
    kind = result.passport.precision.kind
    terminal.print_line(f"{out}: {kind}, {result.size_bytes:,} bytes (fp32 {result.fp32_size_bytes:,})")
    for evidence in result.passport.evidence:
        terminal.print_line(evidence_line(evidence))
    if result.flip_accuracy is not None:
        _print_flip_accuracy(result.selected_on, *result.flip_accuracy)
    terminal.print_line(
        f"all {result.from_bytes} images decoded from file bytes get the label of their tensors"
    )
    terminal.print_line(f"next: edge-fm verify {out}   edge-fm label FOLDER --model {out} -o labels.csv")


def _print_flip_accuracy(selected_on: str, alone: float, flipped: float) -> None:
    """Print the source's accuracy without and with --tta flip, and a note if it is worse."""
    terminal.print_line(f"the source on {selected_on}: {alone:.4f}, with --tta flip {flipped:.4f}")
    if flipped < alone:
        terminal.print_note(
            "--tta flip lowers the accuracy: the model was not trained on mirror images, or its classes "
            "have a left and a right; export without --tta flip"
        )
