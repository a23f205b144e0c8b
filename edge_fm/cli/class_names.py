"""Class names: read from options, compared with a data set's, and translated."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_fm_exporters.sources import SourceModel
    from edge_fm_runtime.artifact.passport import Translation


def read_labels(text: str) -> tuple[str, ...]:
    """Return the class names of `--labels`: A,B,... or a file of them.

    Raises:
        DataError: the file does not exist or holds no class names.
    """
    from edge_fm_exporters.sources import label_files

    return label_files.parse_labels(text)


def find_names(
    model: "SourceModel", known: tuple[str, ...], data_names: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """Return the class names of a model in output order, and a line that says where they come from.

    Args:
        model: the model.
        known: names of its options or its run; empty if neither has any.
        data_names: names of its data set; empty if there is none.
    """
    from edge_fm_exporters.sources import label_files
    from edge_fm_runtime.errors import DataError

    if known or model.names:
        return known or model.names, ""
    file, note = label_files.find_label_file(model.path), ""
    if file is not None:
        try:
            names = label_files.read_label_file(file)
            if len(names) == model.classes:
                return names, f"labels: of {file}"
            note = f"{file} is left out: it has {len(names)} names, and the model has {model.classes} outputs"
        except DataError as error:
            note = f"{file} is left out: {error}"
    if data_names:
        ordered = "labels: those of the data, in their order"
        return data_names, f"{note}. {ordered}" if note else ordered
    names = numbered(model.classes)
    nameless = (
        f"the outputs have no names and are called {names[0]} to {names[-1]}: name them with --labels A,B,..., "
        f"or --labels FILE, or a file labels.txt beside the model"
    )
    return names, f"{note}. {nameless}" if note else nameless


def numbered(classes: int) -> tuple[str, ...]:
    """Return the names of classes that nobody named."""
    return tuple(f"class {index}" for index in range(classes))


def check_names(names: tuple[str, ...], data_names: tuple[str, ...], data: str, *, renamed: bool) -> None:
    """Refuse a data set whose classes differ from the model's, unless the user has named the classes.

    Args:
        names: of the model's classes.
        data_names: of the data set's; empty if there is none.
        data: the data set.
        renamed: whether the user has named the classes.

    Raises:
        DataError: the classes differ.
    """
    from edge_fm_runtime.errors import DataError

    if data_names and names != data_names and not renamed:
        raise DataError(
            f"{data} has the classes {', '.join(data_names)}, and the model has {', '.join(names)}: give the data that "
            "it was trained on, or --labels if the same classes have other names here"
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
