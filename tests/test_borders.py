"""Imports of the device side, and errors for a missing system library."""

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import edge_fm
import edge_fm_exporters
import edge_fm_runtime

_SILENCING = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST", "PYTEST_VERSION")
"""Variables that turn off usage reports of onnxruntime."""

HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "sklearn")


def python(
    code: str, *, without: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, without and with some environment variables."""
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(imports: str) -> set[str]:
    """Return the top-level packages that some imports load."""
    result = python(f"import sys\n{imports}\nprint(*{{name.partition('.')[0] for name in sys.modules}})")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_runtime_loads_no_training_framework() -> None:
    """No module of the runtime loads TensorFlow or another training framework."""
    folder = Path(edge_fm_runtime.__file__).parent
    modules = [
        ".".join(["edge_fm_runtime", *path.relative_to(folder).with_suffix("").parts])
        for path in folder.rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(modules) > 15
    loaded = loaded_by("\n".join(f"import {name}" for name in modules))
    assert loaded.isdisjoint({*HEAVY, "edge_fm", "edge_fm_exporters", "typer"})


def test_the_command_line_starts_light() -> None:
    """`edge-fm --help` loads no numeric library."""
    assert loaded_by("import edge_fm.cli.app").isdisjoint({*HEAVY, "numpy", "cv2", "onnxruntime", "rich"})


def test_labelling_loads_no_training_framework() -> None:
    """The commands of a device load neither TensorFlow nor the exporters."""
    loaded = loaded_by(
        "import edge_fm.cli.label, edge_fm_runtime.batch.workers.child, edge_fm_runtime.live.window"
    )
    assert loaded.isdisjoint({*HEAVY, "edge_fm_exporters"})


def test_the_parent_of_a_labelling_run_stays_light() -> None:
    """Only workers load numeric libraries, so that the parent starts fast and stays small."""
    loaded = loaded_by("import edge_fm.cli.label, edge_fm_runtime.batch.label")
    assert loaded.isdisjoint({*HEAVY, "numpy", "cv2", "onnxruntime"})


@pytest.mark.parametrize("package", ["edge_fm", "edge_fm_exporters", "edge_fm_runtime"])
def test_nothing_is_reported_to_anyone(package: str, tmp_path: Path) -> None:
    """Usage reports of onnxruntime are off: it writes no identifier or queue to the home folder."""
    code = (
        f"import {package}; import numpy as np; from edge_fm_runtime.classifier import Classifier;"
        "classifier = Classifier.load('fashion');"
        "classifier.probabilities(np.zeros((1, *classifier.passport.input.shape), np.uint8));"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    result = python(code, without=_SILENCING, **home)
    assert result.returncode == 0, result.stderr
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


def test_exports_can_be_imported() -> None:
    """Every `__all__` is sorted, and its names can be imported."""
    for package in (edge_fm, edge_fm_exporters, edge_fm_runtime):
        assert package.__all__ == sorted(package.__all__)
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_a_missing_system_library_has_a_remedy(tmp_path: Path) -> None:
    """If OpenCV cannot be imported without libGL, the command line names the remedy."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    run = "from edge_fm.cli import main; main()"
    for command in (["label", __file__, "-o", f"{tmp_path}/x.csv"], ["verify", "fashion"]):
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['edge-fm', *{command}]\n"
        result = python(code + run, PYTHONPATH=str(tmp_path))
        _check_explanation(result)


def _check_explanation(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 2
    assert "libGL.so.1" in result.stderr
    assert "apt-get install libgl1 libglib2.0-0" in result.stderr
    assert "-m pip install opencv-python-headless" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_remedy_works_in_an_environment_without_pip(tmp_path: Path) -> None:
    """Without its own pip, the environment is served by the pip of its base interpreter."""
    environment = tmp_path / "an environment"
    venv.create(environment, symlinks=True, with_pip=False)
    code = (
        "import sys; from unittest.mock import MagicMock;"
        "sys.modules.update({'numpy': MagicMock(), 'numpy.typing': MagicMock(), 'cv2': None});"
        "import edge_fm_runtime.image.opencv"
    )
    result = subprocess.run(
        [environment / "bin" / "python", "-c", code],
        env={"PYTHONPATH": str(Path(edge_fm_runtime.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for command in result.stderr.rpartition(": run ")[2].split(" && "):
        python, *words = shlex.split(command)
        assert Path(python).exists()
        assert environment not in Path(python).parents
        assert words[:4] == ["-m", "pip", "--python", str(environment)]
        assert words[-1] == "opencv-python-headless"
