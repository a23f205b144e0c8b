"""Options that several commands share, and the groups of commands in `edge-fm --help`.

An option has one spelling and one placeholder everywhere; where only its help differs, a function makes it.
"""

import math
from typing import Annotated, Any

import typer

MAKE, PROVE, USE = "Make a model", "Prove it", "Use it"
DEPLOY, MACHINE = "Deploy it", "This machine"
PANELS = (MAKE, PROVE, USE, DEPLOY, MACHINE)
"""Groups of commands, in the order of `edge-fm --help`."""


def finite(value: float | None) -> float | None:
    """Return a number that is one; NaN passes every limit.

    Raises:
        typer.BadParameter: it is NaN or infinite.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number.")
    return value


def out_option(text: str, default: str | bool = True) -> Any:  # noqa: ANN401  # as typer.Option
    """Return `-o/--out`, the path of the main output."""
    return typer.Option("-o", "--out", metavar="PATH", help=text, show_default=default)


def data_option(text: str, default: str | bool = False) -> Any:  # noqa: ANN401
    """Return `--data`, the data set that a model is measured on."""
    return typer.Option("--data", metavar="DATA", help=text, show_default=default)


def labels_option(text: str, default: str | bool = False, panel: str | None = None) -> Any:  # noqa: ANN401
    """Return `--labels`, the class names of a model that has none."""
    return typer.Option(
        "--labels", metavar="A,B,...|FILE", help=text, show_default=default, rich_help_panel=panel
    )


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Bundled model's name, or an .onnx file.", show_default=False)
]
Model = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="Bundled model's name, or an .onnx file.")
]
Data = Annotated[
    str,
    data_option("fashion-mnist, mnist, wardrobe, a folder with one sub-folder per class, or an .npz file."),
]
Labels = Annotated[
    str | None,
    labels_option("Class names of a model without a passport: a list, or a file with one on each line."),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--lang", metavar="LANG", help="Language of the labels, such as ko.", show_default="the model's own"
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help="Pixel values that the network was trained on: unit for [0, 1], raw for [0, 255], symmetric for "
        "[-1, 1], imagenet for ImageNet's mean and deviation, caffe for BGR less its mean, standard for "
        "(pixel - mean) / deviation of the training images, or standard:MEAN:DEVIATION. unit-bgr and the like "
        "are for channels in the order blue, green, red.",
        show_default="the run's, or the best on training images",
    ),
]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        help="Write a CSV for Excel: an apostrophe before each cell that could run as a formula.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
