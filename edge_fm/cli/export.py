"""The command that exports a trained model: export."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import class_names, options, terminal
from edge_fm_runtime.artifact.input_spec import Fit, Polarity

if TYPE_CHECKING:
    from edge_fm.cli.export_source import ExportSource
    from edge_fm_exporters import ExportResult
    from edge_fm_exporters.evidence.findings import QualityFinding
    from edge_fm_exporters.normalization.search import FoundRecipe

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
            "Class names in output order: a list, or a file with one on each line or in JSON.",
            "of the run, a file such as labels.txt beside SOURCE, or the data",
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
            callback=options.finite,
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
            help="Another data set, or a folder of pictures without labels, to calibrate on; without --data, "
            "int8 is selected by the labels of the float32 file.",
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
            callback=options.finite,
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
            callback=options.finite,
            help="Largest recall loss of any class.",
            rich_help_panel=_INT8,
        ),
    ] = 0.03,
    min_speedup: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            min=0,
            max=1000,
            callback=options.finite,
            help="Smallest speed relative to float32, measured on this machine.",
            rich_help_panel=_INT8,
        ),
    ] = 1.0,
    fit: Annotated[
        Fit | None,
        typer.Option(
            show_default="the run's; else the best on the folder --data, or stretch",
            help="Method to bring images of another shape to the model's: letterbox pads, stretch distorts, "
            "crop cuts out the centre.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    polarity: Annotated[
        Polarity | None,
        typer.Option(
            show_default="the run's; else the better one on --data, or as-is",
            help="Polarity of images on the device; invert suits a model trained on light digits that reads "
            "dark ink on paper.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
) -> None:
    """Export a model to one verified, self-describing .onnx file.

    The file carries labels, preprocessing and decision thresholds, and is verified against its source
    before it is written. Exit code 1 if --int8 was given and no candidate stayed within the limits, in which
    case the float32 file is written, or if a run is no better than chance on its own data or never answers a
    class.

    Example: edge-fm export runs/cnn --int8 -o cnn.onnx
    Example: edge-fm export runs/edge --int8 --tta flip -o garments.onnx
    Example: edge-fm export converted_keras.zip -o mine.onnx
    Example: edge-fm export model.h5 --data fashion-mnist --int8 -o model.onnx
    """
    from edge_fm.cli import export_source
    from edge_fm.evaluation import checks
    from edge_fm.models import recipes
    from edge_fm_exporters import ExportRequest, pipeline
    from edge_fm_exporters import export as write
    from edge_fm_exporters.framework import prefer_tensorflow
    from edge_fm_exporters.normalization.search import KnownRecipe
    from edge_fm_exporters.quantization.search import Int8Limits
    from edge_fm_exporters.sources.input_layout import parse_size

    prefer_tensorflow()
    found = export_source.ExportSource.resolve(source, data=data, labels=labels)
    pipeline.check_output(out, found.model)  # before the work
    changes = {
        "--data": data,
        "--labels": labels,
        "--scale": scale,
        "--size": size,
        "--translation": translation,
        "--batch": batch,
        "--calibration": calibration,
        "--fit": fit,
        "--polarity": polarity,
        "--tta": tta if tta is not TestTimeAugmentation.NONE else None,
    }
    if _copy_finished(found, out, changes):
        return
    model = found.read(parse_size(size))
    for note in model.notes:
        terminal.print_line(f"{found.model}: {note}")
    opened = found.open_data(model.spec)
    data_names = opened.class_names if opened is not None else ()
    names, from_where = class_names.find_names(model, found.labels, data_names)
    if from_where:
        terminal.print_note(from_where)
    opened = opened.with_classes(names) if opened is not None else None
    pipeline.check_labels(found.model, names, model.classes)
    is_renamed = labels is not None or names == class_names.numbered(model.classes)
    class_names.check_names(
        names, opened.class_names if opened is not None else (), found.data or "", renamed=is_renamed
    )
    known = recipes.known_recipe(model, found.run, KnownRecipe(scale=scale, fit=fit, polarity=polarity))
    with terminal.progress("trying recipes"):
        recipe = recipes.find_recipe(model, opened, found.data or "", known)
    _print_recipe(recipe)
    dataset = None
    if opened is not None:
        dataset = found.load(opened, recipe.preprocess, is_for_device=polarity is not None)
        terminal.print_unreadable(dataset.unreadable)
        if dataset.sampled:
            terminal.print_line(f"{dataset.name}: {dataset.sampled} are taken")
    request = ExportRequest(
        source=found.model,
        output=out,
        labels=names,
        scale=recipe.scale,
        int8=int8,
        limits=Int8Limits(max_drop, max_class_drop, min_speedup),
        opset=opset,
        preprocess=recipe.preprocess,
        coverage=unknown_coverage,
        translations=class_names.read_translations(names, translation),
        batch=batch,
        flip_ensemble=tta is TestTimeAugmentation.FLIP,
    )
    images = found.load_images(dataset, calibration, model.spec, recipe.preprocess)
    with terminal.progress("export") as bar:
        result = write(request, images, model, lambda step: bar(0, 0, step))
    has_folds = found.run is not None and "folds" in found.run.measured
    measure_more = None if has_folds else checks.MEASURE_MORE
    found_out = result.findings + (checks.check_data(dataset, measure_more) if dataset is not None else ())
    _finish(out, result, found_out, is_own_data=found.own_data)


def _copy_finished(found: "ExportSource", out: Path, changes: Mapping[str, object]) -> bool:
    """Copy a file that its training finished, in which no option can change anything; False of another."""
    from edge_fm_exporters import pipeline
    from edge_fm_runtime.artifact.model_file import read_model, read_passport
    from edge_fm_runtime.errors import DataError

    if not found.is_finished:
        return False
    given = ", ".join(name for name, value in changes.items() if value is not None)
    if given:
        raise DataError(
            f"{found.model} was finished by its training, and {given} cannot change it: leave that out, or train again"
        )
    data = read_model(found.model)
    passport = read_passport(data)
    pipeline.write(out, data)
    terminal.print_line(f"{out}: {len(data):,} bytes, a copy of {found.model}, which its training finished")
    for evidence in passport.evidence if passport is not None else ():
        terminal.print_line(pipeline.evidence_line(evidence))
    terminal.print_line(f"next: edge-fm verify {out}   edge-fm label FOLDER --model {out} -o labels.csv")
    return True


def _print_recipe(recipe: "FoundRecipe") -> None:
    """Print what was tried, and what was taken and why."""
    if len(recipe.scales) > 2:  # noqa: PLR2004  # two are in the line
        rows = [
            [trial.name, f"{trial.accuracy:.1%}", f"{trial.loss:.3f}", f"{len(trial.right):,}"]
            for trial in recipe.scales
        ]
        terminal.print_table(["pixels in training", "accuracy ", "log loss ", "pictures "], rows)
    for reason in recipe.reasons:
        terminal.print_line(reason)


def _finish(
    out: Path, result: "ExportResult", findings: "tuple[QualityFinding, ...]", *, is_own_data: bool
) -> None:
    """Print the result, and end with exit code 1 where int8 was not used or a run is no good on its data."""
    from edge_fm.evaluation import candidates

    reports = candidates.write(out, result) if result.candidates else ()
    has_failed = is_own_data and any(finding.is_failure for finding in findings)
    _print_result(out, result, reports)
    if not has_failed:
        terminal.print_line(f"next: edge-fm verify {out}   edge-fm label FOLDER --model {out} -o labels.csv")
    terminal.print_findings(findings)
    if result.kept_fp32:
        terminal.print_note(f"int8 was not used: {result.kept_fp32}. The float32 file was written")
    if has_failed or result.kept_fp32:
        raise typer.Exit(terminal.BAD_RESULT)


def _print_result(out: Path, result: "ExportResult", reports: Iterable[Path]) -> None:
    from edge_fm.evaluation import candidates
    from edge_fm_exporters.pipeline import evidence_line

    if result.candidates:
        title = f"chosen on {result.selected_on}, never on the test part"
        terminal.print_table(candidates.COLUMNS, candidates.rows(result), title)
    for path in reports:
        terminal.print_line(f"beside it: {path}")
    kind = result.passport.precision.kind
    terminal.print_line(f"{out}: {kind}, {result.size_bytes:,} bytes (fp32 {result.fp32_size_bytes:,})")
    if result.measured is not None:
        terminal.print_line(f"accuracy {result.measured}")
    for evidence in result.passport.evidence:
        terminal.print_line(evidence_line(evidence))
    if result.flip_accuracy is not None:
        _print_flip_accuracy(result.selected_on, *result.flip_accuracy)
    terminal.print_line(
        f"all {result.from_bytes} images decoded from file bytes get the label of their tensors"
    )


def _print_flip_accuracy(selected_on: str, alone: float, flipped: float) -> None:
    """Print the source's accuracy without and with --tta flip, and a note if it is worse."""
    terminal.print_line(f"the source on {selected_on}: {alone:.4f}, with --tta flip {flipped:.4f}")
    if flipped < alone:
        terminal.print_note(
            "--tta flip lowers the accuracy: the model was not trained on mirror images, or its classes "
            "have a left and a right; export without --tta flip"
        )
