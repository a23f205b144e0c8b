"""Class names: read from options, compared with a data set's, and translated."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_fm.datasets import Dataset
    from edge_fm_runtime.artifact.passport import Translation


def read_labels(text: str) -> tuple[str, ...]:
    """Return the class names of `--labels`: A,B,... or a file with one on each line.

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
            f"{path} cannot be read as class names ({error}): give a text file with one on each line"
        ) from error
    return tuple(label.strip() for label in text.split(","))


def check_names(names: tuple[str, ...], dataset: "Dataset | None", *, renamed: bool) -> None:
    """Refuse a data set whose classes differ from the model's, unless the user has named the classes.

    Raises:
        DataError: the classes differ.
    """
    from edge_fm_runtime.errors import DataError

    if dataset is not None and names != dataset.class_names and not renamed:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}, and the model has "
            f"{', '.join(names)}: give the data that it was trained on, or --labels if the same classes "
            "have other names here"
        )


def read_translations(labels: tuple[str, ...], translations: list[str] | None) -> "tuple[Translation, ...]":
    """Return the labels in every language that is built in or given as LANG=A,B,... or LANG=FILE.

    Raises:
        DataError: an entry has no language, or its file cannot be read.
    """
    from edge_fm import datasets
    from edge_fm_runtime.artifact.passport import Translation
    from edge_fm_runtime.errors import DataError

    by_language = dict(datasets.TRANSLATIONS.get(labels, {}))
    for text in translations or []:
        language, sign, names = text.partition("=")
        if not sign:
            raise DataError(
                f"--translation {text!r}: expected LANG=A,B,... or LANG=FILE, such as ko=names.txt"
            )
        by_language[language] = read_labels(names)
    return tuple(Translation(language, names) for language, names in by_language.items())
