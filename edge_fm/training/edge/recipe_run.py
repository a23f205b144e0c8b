"""Run a recipe: open what it names, and train one network, or one without each fold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_fm import datasets
from edge_fm.datasets import Dataset, photographs
from edge_fm.datasets.photographs import Photographs
from edge_fm.models import runs
from edge_fm.models.runs import Run
from edge_fm.training.edge import cross_fitting, distillation, folds, settings, train
from edge_fm.training.edge.cross_fitting import FoldSettings, OutOfFoldScores
from edge_fm.training.edge.loop import Listener
from edge_fm.training.edge.recipe import EdgeRecipe, PhotographSource
from edge_fm.training.edge.train import TrainingSources
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError

_TWO = 1.6
"""Pictures of a class that are rounded to two."""


def open_sources(recipe: EdgeRecipe) -> TrainingSources:
    """Return the images and models that a recipe names.

    Raises:
        DataError: one cannot be read, or they do not fit together.
        ModelError: a teacher cannot be used.
    """
    size, channels = recipe.size, recipe.channels
    given = (size, channels) != (None, None)
    spec = InputSpec(size or 28, size or 28, channels or 1) if given else None
    dataset = datasets.load(recipe.data, spec, test=recipe.test)
    if channels not in {None, dataset.spec.channels}:
        raise DataError(
            f"channels {channels}: {recipe.data} has images of {dataset.spec.channels}, and only a folder of "
            "pictures can be read in grey or in colour: leave channels out"
        )
    if dataset.spec.height != dataset.spec.width:
        raise DataError(
            f"{recipe.data} has images of {dataset.spec.height}x{dataset.spec.width}, and {recipe.model} takes "
            "square ones: give --model cnn"
        )
    if size not in {None, dataset.spec.height}:
        raise DataError(
            f"size {size}: {recipe.data} has images of {dataset.spec.height}x{dataset.spec.width}, which can only be "
            f"enlarged to a whole multiple, such as {2 * dataset.spec.height}"
        )
    source = recipe.photographs
    return TrainingSources(
        architecture=recipe.model,
        data=dataset,
        data_name=recipe.data,
        photographs=_photographs(source, dataset, recipe.settings.seed) if source is not None else None,
        teacher=distillation.open_teachers(recipe.teachers, recipe.data, dataset)
        if recipe.teachers
        else None,
        init_from=recipe.init_from,
        soft_labels=source.soft_labels if source is not None else None,
        test=recipe.test,
    )


def _photographs(source: PhotographSource, dataset: Dataset, seed: int) -> tuple[Photographs, Photographs]:
    mapping = source.mapping(dataset.class_names)
    soft_labels = source.soft_labels
    return photographs.read_photographs(
        photographs.PhotographFiles(
            folder=source.folder,
            mapping=mapping,
            held_out=photographs.read_held_out(source.hold_out) if source.hold_out is not None else None,
            soft_labels=photographs.read_soft_labels(soft_labels, tuple(mapping))
            if soft_labels is not None
            else None,
        ),
        dataset.class_names,
        dataset.spec.height,
        seed,
    )


def check_folder(recipe: EdgeRecipe, folder: Path) -> None:
    """Check that the training of a recipe would overwrite nothing in its folder.

    Raises:
        OutputError: it holds files, and not those of the same kind of training that was interrupted.
    """
    runs.check_free(folder, train.is_resumable if recipe.folds is None else folds.is_resumable)


def fit_settings(recipe: EdgeRecipe, sources: TrainingSources) -> EdgeRecipe:
    """Return a recipe whose schedule and validation part suit the number of its pictures.

    See `settings.fitted`. At least two pictures of each class are held out, if the share was not chosen.
    """
    found, counts = recipe.settings, np.bincount(sources.data.train.labels)
    if "validation_share" not in recipe.chosen:
        share = min(0.5, _TWO / counts[counts > 0].min())
        found = replace(found, validation_share=max(found.validation_share, float(share)))
    training, _ = sources.data.split_validation(found.validation_share, found.seed)
    photographs = len(sources.photographs[0].contents) if sources.photographs else 0
    return replace(recipe, settings=settings.fitted(found, recipe.chosen, len(training), photographs))


def train_one(
    recipe: EdgeRecipe, sources: TrainingSources, folder: Path, listener: Listener, *, fresh: bool = False
) -> Run:
    """Train the network of a recipe into a run folder; see `train.train_run`."""
    return train.train_run(sources, recipe.settings, folder, listener, fresh=fresh)


def train_folds(
    recipe: EdgeRecipe,
    sources: TrainingSources,
    folder: Path,
    listener_of: Callable[[int], Listener],
    *,
    fresh: bool = False,
) -> list[OutOfFoldScores]:
    """Train a network without each fold of a recipe; see `cross_fitting.train_folds`."""
    if fresh:
        runs.set_aside(folder)
    check_folder(recipe, folder)
    groups = folds.read_groups(recipe.groups) if recipe.groups is not None else {}
    division = FoldSettings(count=recipe.folds or 0, groups=groups)
    return cross_fitting.train_folds(sources, recipe.settings, folder, division, listener_of)
