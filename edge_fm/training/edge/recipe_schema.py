"""Keys of a recipe file with their types and ranges, and the checks of its values."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_fm.models import edge
from edge_fm_runtime.errors import DataError


@dataclass(frozen=True)
class Range:
    """Type and range of a key's value.

    Attributes:
        kind: `int`, `float`, `bool` or `str`; a `float` may be written as a whole number.
        low: lowest number.
        high: highest number.
        choices: words of which a `str` must be one; empty for any.
        many: whether the value is a list of such.
    """

    kind: type
    low: float = 0
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    many: bool = False

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        if self.many:
            return "a list of texts"
        if self.kind in {bool, str}:
            return names[self.kind]
        low, high = (f"{limit:.10g}" for limit in (self.low, self.high))
        limits = f" of {low} or more" if self.high == float("inf") else f" from {low} to {high}"
        return names[self.kind] + limits

    def accepts(self, value: object) -> bool:
        """Return whether a value is of the type and in the range."""
        if self.many:
            return isinstance(value, list) and all(isinstance(entry, str) and entry for entry in value)
        if self.kind is float and type(value) is int:
            return self.low <= value <= self.high
        if type(value) is not self.kind:
            return False
        if isinstance(value, str):
            return bool(value) and (not self.choices or value in self.choices)
        return isinstance(value, bool) or (isinstance(value, int | float) and self.low <= value <= self.high)


_SHARE = Range(float, 0, 1)

SCHEMA: Mapping[str, Mapping[str, Range]] = {
    "": {
        "model": Range(str, choices=tuple(edge.WIDTHS)),
        "data": Range(str),
        "size": Range(int, 8, 1024),
        "channels": Range(int, 1, 3),
        "test": Range(str),
        "init_from": Range(str),
    },
    "settings": {
        "epochs": Range(int, 1),
        "batch_size": Range(int, 1),
        "learning_rate": Range(float, 1e-6, 1),
        "weight_decay": Range(float, 0, 1),
        "label_smoothing": Range(float, 0, 0.99),
        "ema_decay": Range(float, 0, 0.99999),
        "strong_aug_off_fraction": Range(float, 0, 0.99),
        "late_mixup": _SHARE,
        "validation_share": Range(float, 0.001, 0.5),
        "bf16": Range(bool),
        "seed": Range(int, 0, 2**32 - 1),
    },
    "mix": {
        "repeats": Range(int, 1, 1000),
        "views": Range(int, 1, 100),
        "mixup": _SHARE,
        "scenes": _SHARE,
        "drawn": _SHARE,
        "empties": _SHARE,
    },
    "augmentation": {
        "camera": Range(bool),
        "flip": Range(bool),
        "rotation": Range(float, 0, 180),
        "tilt": Range(float, 0, 180),
        "erase": _SHARE,
        "elastic": Range(float, 0, 10),
    },
    "photographs": {
        "folder": Range(str),
        "class_map": Range(str),
        "hold_out": Range(str),
        "soft_labels": Range(str),
    },
    "distillation": {"teachers": Range(str, many=True), "weight": _SHARE},
    "folds": {"count": Range(int, 2, 1000), "groups": Range(str)},
}
"""Keys of each table of a recipe; the first are those above every table."""

CLASS_MAP = "photographs.class_map"

_ALIASES = {
    "validation": "settings.validation_share",
    "settings.validation": "settings.validation_share",
}


def check(tables: Mapping[str, Any], place: Any) -> dict[str, Any]:  # noqa: ANN401  # a function
    """Return the values of all tables by `table.key`, every one checked."""
    values: dict[str, Any] = {}
    for name, entry in tables.items():
        is_table = isinstance(entry, dict) and name in SCHEMA and bool(name)
        for key, value in entry.items() if is_table else [(name, entry)]:
            own = f"{name}.{key}" if is_table else name
            if "." in key:
                raise DataError(
                    f"{place(own)}: {key!r} is no key; write the table as [TABLE], above KEY = VALUE"
                )
            values[own] = value
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        allowed = SCHEMA[table].get(name)
        if allowed is None:
            where = f"[{table}]" if table else "the top of a recipe"
            tables_too = "" if table else f", and the tables {', '.join(t for t in SCHEMA if t)}"
            raise DataError(
                f"{place(key)}: {where} has no key {name!r}; it takes {', '.join(SCHEMA[table])}{tables_too}"
            )
        is_inline_map = key == CLASS_MAP and isinstance(value, dict)
        for folder, classes in value.items() if is_inline_map else ():
            if not Range(str, many=True).accepts(classes):
                where = f"{key}.{folder}"
                raise DataError(f"{place(where)}: {folder} = {classes!r}, expected a list of class names")
        if not is_inline_map and not allowed.accepts(value):
            raise DataError(f"{place(key)}: {name} = {value!r}, expected {allowed}")
    return values


def nest(name: str, given: str) -> dict[str, Any]:
    """Return the tables that `--set name=given` stands for; the value of a text key needs no quotes.

    `validation`, as the other models call it, is `settings.validation_share`; yes and no are true and false.
    """
    name = _ALIASES.get(name, name)
    table, _, key = name.rpartition(".")
    if not table:
        table = next((table for table, keys in SCHEMA.items() if name in keys), "settings")
    if table not in SCHEMA:
        raise DataError(f"--set {name}: expected TABLE.KEY, such as settings.epochs=10")
    try:
        value = tomllib.loads(f"value = {given}")["value"]
    except (ValueError, RecursionError):  # no TOML, or a number with thousands of digits
        value = given
    allowed = SCHEMA[table].get(key)
    if allowed is not None and allowed.kind is bool and value in {"yes", "no"}:
        value = value == "yes"
    if allowed is not None and allowed.kind is str and not allowed.many and not isinstance(value, str | dict):
        value = given  # a folder may be named 2024
    return {table: {key: value}} if table else {key: value}


def find_lines(text: str) -> dict[str, int]:
    """Return the line of each `table.key`, from 1."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = header[1]
            found.setdefault(table, number)
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            found.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return found
