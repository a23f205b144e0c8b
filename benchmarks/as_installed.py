"""edge-fm's modules as a user has them: compiled, as pip does when it installs a wheel."""

import compileall
import importlib.util
from pathlib import Path

_PACKAGES = ("edge_fm", "edge_fm_exporters", "edge_fm_runtime")


def compile_modules() -> None:
    """Compile them where they lie; in a checkout, and where `PYTHONDONTWRITEBYTECODE` is set, Python would do it again in every process."""
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(package)
        compileall.compile_dir(Path(spec.origin).parent, quiet=1)
