"""The names of classes, as options give them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_fm.datasets import Dataset
    from edge_fm_runtime.artifact.passport import Translation

Language = Annotated[
    str | None,
    typer.Option("--lang", help="Labels in this language, such as ko.", show_default="the model's own"),
]


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


def check_names(names: tuple[str, ...], dataset: "Dataset | None", *, renamed: bool) -> None:
    """Refuse data of other classes than the model's, unless the user has named them.

    Raises:
        DataError: its classes are others.
    """
    from edge_fm_runtime.errors import DataError

    if dataset is not None and names != dataset.class_names and not renamed:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, and the model {', '.join(names)}: give the "
            "data that it was trained on, or --labels if the same classes have other names here"
        )


def translations(labels: tuple[str, ...], given: list[str] | None) -> "tuple[Translation, ...]":
    """Return the labels in every language that is known of them or given as LANG=A,B,... or LANG=FILE.

    Raises:
        DataError: a text has no language, or its file cannot be read.
    """
    from edge_fm import datasets
    from edge_fm_runtime.artifact.passport import Translation
    from edge_fm_runtime.errors import DataError

    known = dict(datasets.TRANSLATIONS.get(labels, {}))
    for text in given or []:
        language, sign, names = text.partition("=")
        if not sign:
            raise DataError(
                f"--translation {text!r}: expected LANG=A,B,... or LANG=FILE, such as ko=names.txt"
            )
        known[language] = read_labels(names)
    return tuple(Translation(language, names) for language, names in known.items())
