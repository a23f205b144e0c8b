"""Recipe files: how a model of the edge family is trained, in one place and in full.

A recipe is TOML. Every key is optional but `model` and `data`, has the default that is documented at
`EdgeSettings`, `Mix` or `Variation`, and is checked strictly: an unknown key, a wrong type or a value out of
range is an error that names the file, the line and what is allowed. Paths are relative to the working
directory; `$NAME` in a path is an environment variable.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets.photographs import check_map, read_map
from edge_fm.training.edge.epoch_data import Mix
from edge_fm.training.edge.recipe_schema import CLASS_MAP, check, find_lines, nest
from edge_fm.training.edge.settings import DEFAULTS, EdgeSettings
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.untrusted.regular_file import read_text

MAX_RECIPE_BYTES = 2**20

RECIPES = Path(__file__).parent / "recipes"
"""Recipes of the bundled models and of their teachers."""


@dataclass(frozen=True, kw_only=True)
class PhotographSource:
    """Photographs with partial labels.

    Attributes:
        folder: folder with one sub-folder per kind of photograph.
        class_map: class names that each sub-folder may show, or a TOML file with a table [photos] of them.
        hold_out: JSON file with a list `held_out` of the photographs to validate on; a fifth at random
            without.
        soft_labels: CSV file of soft labels: `path` and one column per sub-folder.
    """

    folder: Path
    class_map: Mapping[str, Sequence[str]] | Path
    hold_out: Path | None = None
    soft_labels: Path | None = None

    def mapping(self, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the classes of each sub-folder.

        Raises:
            DataError: the file cannot be read, or a class is none of the model's.
        """
        if isinstance(self.class_map, Path):
            return read_map(self.class_map, "photos", class_names)
        return check_map(self.class_map, "the recipe's class_map", class_names)


@dataclass(frozen=True, kw_only=True)
class EdgeRecipe:
    """Everything that a training of the edge family needs.

    Attributes:
        model: name in `edge.WIDTHS`.
        data: data set in the model's own classes.
        size: height and width of the input in pixels; None takes the data set's own, 28 for a folder.
        channels: 1 for grey, 3 for colour; None takes the data set's own, grey for a folder.
        test: folder that is the test part, with the same classes; then the whole of `data` is trained on.
        init_from: run folder, exported file or bundled model whose weights are the start.
        settings: how it is trained.
        photographs: photographs with partial labels, if any.
        teachers: models to distil from.
        folds: number of folds, each of which one network is trained without; None trains one network on all.
        groups: CSV file with the group of each photograph; a group is never divided between folds.
        chosen: keys of `settings` and `mix` that were given; all others may be fitted to the data.
    """

    model: str
    data: str
    size: int | None = None
    channels: int | None = None
    test: Path | None = None
    init_from: Path | None = None
    settings: EdgeSettings = field(default_factory=EdgeSettings)
    photographs: PhotographSource | None = None
    teachers: tuple[str, ...] = ()
    folds: int | None = None
    groups: Path | None = None
    chosen: frozenset[str] = frozenset()


def find_recipe(name: str) -> Path | None:
    """Return the recipe file of a path, or of the file name of a bundled recipe; None if there is none."""
    path = Path(name)
    if path.is_file():
        return path
    bundled = RECIPES / path.name
    return bundled if path.name == name and bundled.is_file() else None


def read_recipe(path: Path, overrides: Mapping[str, str] | None = None) -> EdgeRecipe:
    """Read a recipe file.

    Args:
        path: TOML file.
        overrides: values, as TOML, that replace or add keys such as `settings.epochs`.

    Raises:
        DataError: the file cannot be read, or a key is unknown, of a wrong type or out of range.
    """
    try:
        text = read_text(path, MAX_RECIPE_BYTES)
        tables: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise DataError(f"the recipe {path} cannot be read: values nested too deep") from None
    except (OSError, ValueError) as error:  # no UTF-8, no TOML, or a number with thousands of digits
        raise DataError(f"the recipe {path} cannot be read: {error}") from error
    places = find_lines(text)

    def place(key: str) -> str:
        return f"{path}, line {places[key]}" if key in places else str(path)

    values = check(tables, place) | read_overrides(overrides or {})
    missing = [name for name in ("model", "data") if name not in values]
    if missing:
        raise DataError(f'{path} lacks {" and ".join(missing)}: write a line such as {missing[0]} = "..."')
    try:
        return build_recipe(_expanded(values))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_overrides(given: Mapping[str, str]) -> dict[str, Any]:
    """Return checked values by `table.key` of texts such as `settings.epochs` or `epochs`: `10`.

    Raises:
        DataError: a key is unknown, or a value is of a wrong type or out of range.
    """
    values: dict[str, Any] = {}
    for name, text in given.items():
        values |= check(nest(name, text), lambda key: f"--set {key}")
    return values


def build_recipe(values: Mapping[str, Any]) -> EdgeRecipe:
    """Return the recipe of checked values by `table.key`.

    Raises:
        DataError: keys do not go together.
    """
    base = DEFAULTS.get(values["model"], EdgeSettings())
    variation = replace(base.mix.variation, **_of(values, "augmentation", Variation))
    mix = replace(base.mix, variation=variation, **_of(values, "mix", Mix))
    settings = replace(base, mix=mix, **_of(values, "settings", EdgeSettings))
    if "distillation.weight" in values:
        settings = replace(settings, distillation_weight=float(values["distillation.weight"]))
    recipe = EdgeRecipe(
        model=values["model"],
        data=values["data"],
        size=values.get("size"),
        channels=values.get("channels"),
        test=_path(values.get("test")),
        init_from=_path(values.get("init_from")),
        settings=settings,
        photographs=_photographs(values),
        teachers=tuple(values.get("distillation.teachers", ())),
        folds=values.get("folds.count"),
        groups=_path(values.get("folds.groups")),
        chosen=frozenset(key.rpartition(".")[2] for key in values if key.startswith(("settings.", "mix."))),
    )
    _check_together(recipe, values)
    return recipe


def _check_together(recipe: EdgeRecipe, values: Mapping[str, Any]) -> None:
    soft_labels = recipe.photographs is not None and recipe.photographs.soft_labels is not None
    in_colour = recipe.channels not in {None, 1}
    problems = {
        "channels is 1 for grey or 3 for colour": recipe.channels == 2,  # noqa: PLR2004  # the number between
        "[photographs] are read in grey, and channels is 3: leave one of them out": in_colour
        and recipe.photographs is not None,
        f"{recipe.model} reads digits in grey: leave channels out": in_colour and recipe.model in DEFAULTS,
        "[distillation] weight needs teachers": "distillation.weight" in values and not recipe.teachers,
        "[photographs] soft_labels needs [distillation] teachers": soft_labels and not recipe.teachers,
        "[folds] groups needs count and [photographs]": recipe.groups is not None
        and not (recipe.folds and recipe.photographs),
        "[folds] takes no teachers and no init_from, which have seen every fold": bool(recipe.folds)
        and bool(recipe.teachers or recipe.init_from),
    }
    for problem, is_there in problems.items():
        if is_there:
            raise DataError(problem)


def _photographs(values: Mapping[str, Any]) -> PhotographSource | None:
    given = {key.partition(".")[2] for key in values if key.startswith("photographs.")}
    if not given:
        return None
    if not {"folder", "class_map"} <= given:
        raise DataError("[photographs] needs folder and class_map")
    class_map = values[CLASS_MAP]
    return PhotographSource(
        folder=Path(values["photographs.folder"]),
        class_map=class_map if isinstance(class_map, dict) else Path(class_map),
        hold_out=_path(values.get("photographs.hold_out")),
        soft_labels=_path(values.get("photographs.soft_labels")),
    )


def _of(values: Mapping[str, Any], table: str, kind: type) -> dict[str, Any]:
    """Return a table as arguments of a dataclass; whole numbers become floats where due."""
    types = {entry.name: entry.type for entry in fields(kind)}
    found = {
        key.removeprefix(f"{table}."): value for key, value in values.items() if key.startswith(f"{table}.")
    }
    return {name: float(value) if types[name] is float else value for name, value in found.items()}


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _expanded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with environment variables replaced in texts and lists of texts."""
    return {
        key: _expand(value)
        if isinstance(value, str)
        else list(map(_expand, value))
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }


def _expand(text: str) -> str:
    """Return a text with environment variables replaced.

    Raises:
        DataError: one is not set.
    """
    found = os.path.expandvars(text)
    if unset := re.search(r"\$\{?(\w+)", found):
        raise DataError(
            f"{text} needs the environment variable {unset[1]}, which is not set: export {unset[1]}=..."
        )
    return found
