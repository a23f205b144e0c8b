"""What the device side may import, and what happens when a system library is missing."""

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
"""Variables in whose presence onnxruntime would not report anyway."""

HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "sklearn")


def python(
    code: str, *, without: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, without some of this one's variables and with others."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(imports: str) -> set[str]:
    """Return the top-level packages that importing something loads."""
    result = python(f"import sys\n{imports}\nprint(*{{name.partition('.')[0] for name in sys.modules}})")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_runtime_loads_no_training_framework() -> None:
    """Importing every module of the runtime loads neither TensorFlow nor anything like it."""
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
    """`edge-fm --help` needs no numeric library at all."""
    assert loaded_by("import edge_fm.cli.app").isdisjoint({*HEAVY, "numpy", "cv2", "onnxruntime", "rich"})


def test_labelling_loads_no_training_framework() -> None:
    """The commands of a device reach neither TensorFlow nor the exporters."""
    loaded = loaded_by(
        "import edge_fm.cli.label, edge_fm_runtime.batch.workers.child, edge_fm_runtime.live.window"
    )
    assert loaded.isdisjoint({*HEAVY, "edge_fm_exporters"})


def test_the_parent_of_a_labelling_run_stays_light() -> None:
    """Numeric libraries are loaded by the workers only: the parent starts at once and stays small."""
    loaded = loaded_by("import edge_fm.cli.label, edge_fm_runtime.batch.label")
    assert loaded.isdisjoint({*HEAVY, "numpy", "cv2", "onnxruntime"})


@pytest.mark.parametrize("package", ["edge_fm", "edge_fm_exporters", "edge_fm_runtime"])
def test_nothing_is_reported_to_anyone(package: str, tmp_path: Path) -> None:
    """Reports of usage by onnxruntime stay off: it keeps no identifier of the device, and no queue, in the home folder."""
    code = (
        f"import {package}; import numpy as np; from edge_fm_runtime.classifier import Classifier;"
        "classifier = Classifier.load('fashion');"
        "classifier.probabilities(np.zeros((1, *classifier.passport.input.shape), np.uint8));"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    result = python(code, without=_SILENCING, **home)
    assert result.returncode == 0, result.stderr
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


def test_tables_of_contents_are_true() -> None:
    """Everything in an `__all__` can be imported, and is sorted."""
    for package in (edge_fm, edge_fm_exporters, edge_fm_runtime):
        assert package.__all__ == sorted(package.__all__)
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_a_missing_system_library_is_a_remedy(tmp_path: Path) -> None:
    """OpenCV that fails to import for want of libGL is explained, on the command line too."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    run = "from edge_fm.cli import main; main()"
    for command in (["label", __file__, "-o", f"{tmp_path}/x.csv"], ["verify", "fashion"]):
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['edge-fm', *{command}]\n"
        result = python(code + run, PYTHONPATH=str(tmp_path))
        _explains(result)


def _explains(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 2
    assert "libGL.so.1" in result.stderr
    assert "apt-get install libgl1 libglib2.0-0" in result.stderr
    assert "-m pip install opencv-python-headless" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_remedy_works_in_an_environment_without_pip(tmp_path: Path) -> None:
    """There, the interpreter that made the environment runs its own pip on it."""
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
