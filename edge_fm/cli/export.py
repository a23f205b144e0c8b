"""The command that exports: export."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import terminal
from edge_fm_runtime.passport import Fit, Polarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_fm.datasets import Dataset
    from edge_fm_exporters import ExportData, ExportResult
    from edge_fm_exporters.verify import Pictures
    from edge_fm_runtime.passport import Translation

BAD_ANSWER = 1
_CHOICE_IMAGES = 5000

Language = Annotated[
    str | None,
    typer.Option("--lang", help="Labels in this language, such as ko.", show_default="the model's own"),
]


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
    qat: Annotated[
        int,
        typer.Option(
            "--qat",
            min=0,
            max=100,
            metavar="EPOCHS",
            help="Fine-tune int8 for so many epochs too, where calibrating is not enough; minutes each.",
        ),
    ] = 0,
    min_speedup: Annotated[
        float, typer.Option(min=0, help="How many times as fast as float32 int8 must be on this machine.")
    ] = 1.0,
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

    Example: edge-fm export best_cnn_model.h5 --data fashion-mnist --int8 -o fashion.onnx
    """
    from edge_fm import datasets, export_report
    from edge_fm_exporters import ExportRequest
    from edge_fm_exporters import export as write
    from edge_fm_exporters.int8 import Limits
    from edge_fm_exporters.pipeline import load
    from edge_fm_exporters.scale import read
    from edge_fm_runtime.errors import ExportError
    from edge_fm_runtime.passport import Preprocess

    chosen = _Source.of(source, data, labels, scale)
    model = load(chosen.model)
    if qat and not int8:
        raise ExportError("--qat fine-tunes for int8: give --int8 too")
    if model.added:
        terminal.say(f"{chosen.model}: {model.added}")
    dataset = datasets.load(chosen.data, model.spec) if chosen.data is not None else None
    names = chosen.labels or model.names or (dataset.class_names if dataset is not None else ())
    _check_names(names, dataset, renamed=labels is not None)
    request = ExportRequest(
        chosen.model,
        out,
        names,
        read(chosen.scale, dataset.train.images if dataset is not None else None) if chosen.scale else None,
        int8,
        Limits(max_drop, max_class_drop, min_speedup),
        opset,
        Preprocess(fit=fit, polarity=polarity),
        unknown_coverage,
        translations=_translations(names, translation),
        batch=batch,
        tuned_epochs=qat,
    )
    pictures = _pictures(dataset, calibration, chosen.run) if dataset is not None else None
    with terminal.progress("export") as bar:
        result = write(request, pictures, model, lambda what: bar(0, 0, what))
    if result.candidates:
        _say_candidates(result)
        for path in export_report.write(out, result):
            terminal.say(f"beside it: {path}")
    _say_result(out, result)
    if result.kept_fp32:
        terminal.note(f"int8 was not used: {result.kept_fp32}. The float32 file was written")
        raise typer.Exit(BAD_ANSWER)


def _say_candidates(result: "ExportResult") -> None:
    from edge_fm import export_report

    rows = export_report.rows(result)
    terminal.table(export_report.COLUMNS, rows, f"chosen on {result.chosen_on}, never on the test part")


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
    terminal.say(f"from file bytes on: all {result.from_bytes} pictures get the label of their tensors")
    terminal.say(f"next: edge-fm verify {out}   edge-fm label FOLDER --model {out} -o labels.csv")


@dataclass(frozen=True)
class _Source:
    """What is known about the model to export: from its run folder, from the options."""

    model: Path
    labels: tuple[str, ...]
    scale: str | None
    data: str | None
    run: Path | None = None

    @classmethod
    def of(cls, source: Path, data: str | None, labels: str | None, scale: str | None) -> "_Source":
        from edge_fm import runs

        named = read_labels(labels) if labels is not None else ()
        if source.is_dir():
            run = runs.Run.load(source)
            return cls(
                source / run.model, named or run.class_names, scale or run.scale, data or run.data, source
            )
        return cls(source, named, scale, data)


def _check_names(names: tuple[str, ...], dataset: "Dataset | None", *, renamed: bool) -> None:
    """Refuse data of other classes than the model's, unless the user has named them."""
    from edge_fm_runtime.errors import DataError

    if dataset is not None and names != dataset.class_names and not renamed:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, and the model {', '.join(names)}: give the "
            "data that it was trained on, or --labels if the same classes have other names here"
        )


def _translations(labels: tuple[str, ...], given: list[str] | None) -> "tuple[Translation, ...]":
    from edge_fm import datasets
    from edge_fm_runtime.errors import DataError
    from edge_fm_runtime.passport import Translation

    known = dict(datasets.TRANSLATIONS.get(labels, {}))
    for text in given or []:
        language, sign, names = text.partition("=")
        if not sign:
            raise DataError(
                f"--translation {text!r}: expected LANG=A,B,... or LANG=FILE, such as ko=names.txt"
            )
        known[language] = read_labels(names)
    return tuple(Translation(language, names) for language, names in known.items())


def read_labels(text: str) -> tuple[str, ...]:
    """Return the labels that `--labels` names: A,B,... or a file with one on each line.

    Raises:
        DataError: the file cannot be read.
    """
    from edge_fm_runtime.errors import DataError

    path = Path(text)
    try:
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as labels ({error}): give a text file with one label on each line"
        ) from error
    return tuple(label.strip() for label in text.split(","))


def _pictures(dataset: "Dataset", calibration: str | None, run: Path | None) -> "ExportData":
    from edge_fm import datasets, runs
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.decision import Judged
    from edge_fm_exporters.quantize import CALIBRATION_IMAGES
    from edge_fm_exporters.verify import Pictures

    kept = run / runs.CALIBRATION if run is not None else None
    if calibration is None and kept is not None and kept.is_file():
        ranges = datasets.load_pictures(kept)
    else:
        chosen = datasets.load(calibration, dataset.spec) if calibration is not None else dataset
        ranges = chosen.train.sample(CALIBRATION_IMAGES, seed=0).images

    def judged(name: str) -> Judged | None:
        return Judged.load(run / name) if run is not None and (run / name).is_file() else None

    return ExportData(
        dataset.name,
        dataset.licence,
        ranges,
        Pictures(dataset.name, "test", dataset.test.images, dataset.test.labels),
        judged(runs.VALIDATION),
        _training(dataset),
        *_choice(dataset, run),
        judged(runs.LESSON),
    )


def _training(dataset: "Dataset") -> "Pictures":
    from edge_fm_exporters.verify import Pictures

    sample = dataset.train.sample(len(dataset.train), seed=0)
    return Pictures(f"{dataset.name} (training)", "train", sample.images, sample.labels)


def _choice(dataset: "Dataset", run: Path | None) -> "tuple[Pictures, NDArray[np.uint8]]":
    """Return what int8 is chosen on, and what it may be fine-tuned on; no picture is in both.

    It is chosen on what the training held out, or on training pictures that are not calibrated on.
    """
    import numpy as np

    from edge_fm import runs
    from edge_fm_exporters.quantize import CALIBRATION_IMAGES
    from edge_fm_exporters.verify import Pictures

    settings = runs.Run.load(run).settings if run is not None else {}
    if settings.get("validation_share"):
        rest, part = dataset.split_validation(settings["validation_share"], settings["seed"])
        part, kind = part.sample(_CHOICE_IMAGES, seed=0), "validation"
    else:
        shuffled = dataset.train.sample(len(dataset.train), seed=0)
        calibrated = min(CALIBRATION_IMAGES, len(shuffled) // 2)
        end = calibrated + min(_CHOICE_IMAGES, (len(shuffled) - calibrated + 1) // 2)
        part, kind = shuffled.take(np.arange(calibrated, end)), "training"
        rest = shuffled.take(np.r_[:calibrated, end : len(shuffled)])
    name = f"{len(part):,} {kind} pictures of {dataset.name}"
    return Pictures(name, kind, part.images, part.labels), rest.images
