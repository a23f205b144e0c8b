"""Entries in each root, unique class names, and docstrings."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = {"edge_fm": 12, "exporters/edge_fm_exporters": 14, "runtime/edge_fm_runtime": 16}
"""Folder of each package, and how many entries its root may have."""

MAX_SUMMARY = 100
"""Characters of a docstring's first line."""


def modules(*folders: str) -> Iterator[Path]:
    """Yield the Python files below folders of the checkout."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize(("folder", "most"), PACKAGES.items())
def test_a_package_has_few_entries(folder: str, most: int) -> None:
    """The root of each package can be taken in at a glance."""
    entries = [path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"]
    assert len(entries) <= most, sorted(entries)


def test_no_class_name_occurs_twice() -> None:
    """A class name says which class is meant, in all three packages together."""
    counts = Counter(
        node.name
        for path in modules(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in counts.items() if count > 1] == []


def test_docstrings_begin_with_their_point() -> None:
    """The first line of a docstring has at most 100 characters and does not begin as a riddle."""
    riddles = {"What", "How", "Of", "Where", "Which", "Whose"}
    found = []
    for path in modules(*PACKAGES, "tests", "benchmarks", "samples"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                if len(summary) > MAX_SUMMARY or summary.split(" ")[0] in riddles:
                    found.append(f"{path.relative_to(ROOT)}: {summary}")
    assert found == []
