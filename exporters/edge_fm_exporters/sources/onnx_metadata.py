"""Read what the metadata of a foreign ONNX file say of its classes and its training."""

import ast
import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edge_fm_exporters.sources.label_files import names_in_order
from edge_fm_runtime.artifact.input_spec import Fit

_NAME_KEYS = ("names", "classes", "labels", "class_names", "id2label")
_MAX_TEXT = 2**20


@dataclass(frozen=True)
class ForeignMetadata:
    """Facts from the metadata of a file.

    Attributes:
        names: of the classes, each another; empty if unknown.
        size: height and width of its images; None if unknown.
        scale: scale of its pixels in training as in `--scale`; empty if unknown.
        fit: how its training brought images to its size; None if unknown.
    """

    names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    scale: str = ""
    fit: Fit | None = None


def read_metadata(entries: Mapping[str, str]) -> ForeignMetadata:
    """Return what the metadata say; what cannot be read counts as unknown.

    Args:
        entries: `metadata_props` of the file, which nobody vouches for.
    """
    lower = {key.lower(): value for key, value in entries.items()}
    names = next((found for key in _NAME_KEYS if (found := _names(lower.get(key, "")))), ())
    if lower.get("author") != "Ultralytics" or lower.get("task") != "classify":
        return ForeignMetadata(names)
    match _literal(lower.get("imgsz", "")):
        case [int() as height, int() as width] if height > 0 and width > 0:
            size: tuple[int, int] | None = (height, width)
        case _:
            size = None
    # Its classifiers are trained on pixels in [0, 1] of the centre of each image.
    return ForeignMetadata(names, size, "unit", Fit.CROP)


def _names(text: str) -> tuple[str, ...]:
    """Return class names of a JSON or Python list or dictionary; none if it holds no such names."""
    with suppress(ValueError, TypeError):
        names = names_in_order(_literal(text))
        if len(set(names)) == len(names) and all(names):
            return names
    return ()


def _literal(text: str) -> Any:  # noqa: ANN401  # JSON or Python
    """Return the value of a JSON text or a Python literal; None of another or a long text."""
    if not text or len(text) > _MAX_TEXT:
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with warnings.catch_warnings(), suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        warnings.simplefilter("ignore")  # of escapes in a stranger's text
        return ast.literal_eval(text)
    return None
