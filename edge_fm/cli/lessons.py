"""What `train` gives to the edge family alone: photographs and their map, teachers, and weights to begin with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_fm.cli import terminal
from edge_fm.cli.data import say_unreadable

if TYPE_CHECKING:
    from edge_fm.datasets import Dataset
    from edge_fm.datasets.photographs import Photographs
    from edge_fm.models.runs import Run
    from edge_fm.training.edge.settings import EdgeSettings
    from edge_fm.training.edge.train import TrainingSources
    from edge_fm.training.results import Listener


@dataclass(frozen=True)
class EdgeTrainOptions:
    """The options of `train` that no other model takes, as the user gave them.

    Attributes:
        class_map: the TOML file of the photographs' folders.
        hold_out: the JSON file of the photographs kept for validation.
        teachers: models to learn from.
        taught: share of the loss that is theirs.
        answers: the CSV file of what another model holds the photographs to be.
        start: the run folder, exported file or bundled model whose weights are begun with.
        folds: parts of the training to train a network without each of; None or 0 trains one on all.
        people: the CSV file of whose photograph each is.
        size: height and width that pictures are brought to; None leaves a data set's own, and 28 for a folder.
    """

    class_map: Path | None = None
    hold_out: Path | None = None
    teachers: tuple[str, ...] = ()
    taught: float | None = None
    answers: Path | None = None
    start: Path | None = None
    folds: int | None = None
    people: Path | None = None
    size: int | None = None


def train(
    name: str,
    data: list[str],
    lessons: EdgeTrainOptions,
    out: Path,
    changes: dict[str, Any],
    listening: "Callable[[terminal.Bar, int], Listener]",
) -> "Run | None":
    """Train a member of the edge family, on photographs too if a data set is given as NAME=DIR.

    With folds it is trained once without each, and there is no run of the whole: the folder is a teacher.

    Args:
        name: of the member.
        data: as given; one in the model's classes.
        lessons: what it takes besides.
        out: the run folder.
        changes: of the recipe's settings; None keeps the recipe's own.
        listening: returns who is told of progress, from the bar to draw it on and the number of epochs.

    Returns:
        the run; None if there are only those of the folds.

    Raises:
        DataError: the options do not go together, or what they name cannot be used.
    """
    from edge_fm import datasets
    from edge_fm.training.edge import distillation
    from edge_fm.training.edge import settings as settings_module
    from edge_fm.training.edge import train as train_module
    from edge_fm_runtime.artifact.input_spec import InputSpec
    from edge_fm_runtime.errors import DataError

    plain = [entry for entry in data if "=" not in entry]
    mapped = [entry.partition("=") for entry in data if "=" in entry]
    if len(plain) != 1 or len(mapped) > 1 or (bool(mapped) != (lessons.class_map is not None)):
        raise DataError(
            f"{name} trains on one data set in the model's classes, and on photographs as NAME=DIR with --map: "
            "--data fashion-mnist --data photos=DIR --map map.toml"
        )
    if lessons.taught is not None and not lessons.teachers:
        raise DataError("--teacher-share is of a teacher's answers: give --teacher too")
    if lessons.people is not None and not (lessons.folds and mapped):
        raise DataError(
            "--people says whose photographs go into one fold: give --folds and --data photos=DIR too"
        )
    if lessons.folds and (lessons.teachers or lessons.start is not None):
        raise DataError(
            "--folds is for networks that have not seen their fold: without --teacher and --start, which have"
        )
    if lessons.folds == 1:
        raise DataError("--folds 1 leaves nothing to train on: give 2 or more")
    if lessons.answers is not None and not (lessons.teachers and mapped):
        raise DataError(
            "--answers is what a teacher is told of the photographs: give --teacher and --data photos=DIR too"
        )
    size = lessons.size
    dataset = datasets.load(plain[0], InputSpec(size, size, 1) if size is not None else None)
    if size not in {None, dataset.spec.height}:
        raise DataError(
            f"--size {size}: {plain[0]} has pictures of {dataset.spec.height}x{dataset.spec.width}, which can be enlarged to a whole multiple only, "
            f"such as {2 * dataset.spec.height}"
        )
    say_unreadable(dataset.unreadable)
    photographs = None
    if mapped and lessons.class_map is not None:
        table, _, folder = mapped[0]
        photographs = _photographs(table, Path(folder), lessons.class_map, lessons, dataset, changes["seed"])
    changes = changes | {"taught": lessons.taught}
    usual = settings_module.DEFAULTS.get(name, settings_module.EdgeSettings())
    settings = replace(usual, **{key: value for key, value in changes.items() if value is not None})
    taught_by = distillation.open_teachers(lessons.teachers, plain[0], dataset) if lessons.teachers else None
    sources = train_module.TrainingSources(dataset, photographs, taught_by, lessons.start, lessons.answers)
    if lessons.folds:
        _train_folds(name, sources, plain[0], lessons.folds, lessons.people, out, settings, listening)
        return None
    with terminal.progress("training") as bar:
        return train_module.train_run(name, sources, plain[0], out, settings, listening(bar, settings.epochs))


def _train_folds(
    name: str,
    sources: "TrainingSources",
    data: str,
    count: int,
    people: Path | None,
    out: Path,
    settings: "EdgeSettings",
    listening: "Callable[[terminal.Bar, int], Listener]",
) -> None:
    from edge_fm.training.edge import cross_fitting, folds

    whose = folds.read_groups(people) if people is not None else {}
    with terminal.progress("training") as bar:

        def listening_to(fold: int) -> "Listener":
            terminal.say(f"without fold {fold + 1} of {count}")
            return listening(bar, settings.epochs)

        found = cross_fitting.train_folds(name, sources, data, out, settings, count, whose, listening_to)
    for fold, unseen in enumerate(found, 1):
        photographs = (
            f", {unseen.photographs:.4f} of its photographs" if unseen.photographs is not None else ""
        )
        terminal.say(f"fold {fold}, unseen: {unseen.catalogue:.4f} of its pictures right{photographs}")
    terminal.say(f"folds: {out}   next: edge-fm train edge --teacher {out} --data {data} -o RUN")


def _photographs(
    table: str, folder: Path, class_map: Path, lessons: EdgeTrainOptions, dataset: "Dataset", seed: int
) -> "tuple[Photographs, Photographs]":
    from edge_fm.datasets import photographs as photographs_module

    held_out = photographs_module.read_held_out(lessons.hold_out) if lessons.hold_out is not None else None
    mapping = photographs_module.read_map(class_map, table, dataset.class_names)
    answers = (
        photographs_module.read_soft_labels(lessons.answers, tuple(mapping))
        if lessons.answers is not None
        else None
    )
    parts = photographs_module.read_photographs(
        folder, mapping, dataset.class_names, dataset.spec.height, held_out, seed, answers
    )
    for part in parts:
        say_unreadable(part.unreadable)
    if answers is not None:
        terminal.say(f"{len(answers):,} answers for the {len(parts[0].folders):,} photographs to train on")
    return parts
