"""Compile edge-fm's modules, as pip does when it installs a wheel."""

import compileall
import importlib.util
from pathlib import Path

_PACKAGES = ("edge_fm", "edge_fm_exporters", "edge_fm_runtime")


def compile_modules() -> None:
    """Compile the modules in place, because every process of a checkout might compile them again."""
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(package)
        compileall.compile_dir(Path(spec.origin).parent, quiet=1)
