"""Training on the JAX backend of Keras; all else here is tested on TensorFlow's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.models import runs
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.sources import keras
from edge_fm_runtime.errors import ExportError
from tests.conftest import ROOT

PROMISES = (
    "test_optimizer.py",
    "test_train.py::test_a_killed_training_resumes_to_the_same_weights",
    "test_train.py::test_a_training_begins_with_the_weights_of_a_run",
    "test_distillation.py::test_a_student_follows_its_teacher",
)


# What is compiled here runs a few times: compiled for speed, it takes twice as long in all.
ON_JAX = {
    "KERAS_BACKEND": "jax",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
# The command line, with the network of the fixture `small_network`.
SMALL_NETWORK = """
from edge_fm.cli import main
from edge_fm.models import edge

edge.WIDTHS["edge-nano"] = edge.Width(8, 8, 16, middle_blocks=0)
main()
"""


AT_CHANCE = 1
"""Exit code of a training or an export whose model is no better than chance, as after one epoch."""


def on_jax(compiled: Path, *arguments: object, codes: tuple[int, ...] = (0,)) -> str:
    """Run Python with Keras on JAX and a compilation cache; return its output if it exits as expected."""
    run = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | ON_JAX | {"JAX_COMPILATION_CACHE_DIR": str(compiled)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode in codes, run.stdout
    return run.stdout


@pytest.mark.train
@pytest.mark.slow
def test_the_recipe_keeps_its_promises_on_jax(tmp_path: Path) -> None:
    """Steps, resuming, warm starts and distillation hold on JAX too."""
    promises = [f"tests/edge_fm/training/edge/{promise}" for promise in PROMISES]
    printed = on_jax(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=0", *promises)
    assert "passed" in printed
    assert "skipped" not in printed


@pytest.mark.train
@pytest.mark.slow
def test_a_run_of_jax_is_exported(tmp_path: Path) -> None:
    """A run trained on JAX in bfloat16 exports to a file that answers as the run does."""
    run, model, compiled = tmp_path / "run", tmp_path / "model.onnx", tmp_path / "compiled"
    part = datasets.limited(datasets.load("wardrobe"), 120, 1000)
    parts = {"x_train": part.train.images, "x_test": part.test.images}
    np.savez(tmp_path / "part.npz", **parts, y_train=part.train.labels, y_test=part.test.labels)
    given = ("--model", "edge-nano", "--epochs", "1", "--set", "bf16=true", "-o", run)
    codes = (0, AT_CHANCE)
    on_jax(compiled, "-c", SMALL_NETWORK, "train", tmp_path / "part.npz", *given, codes=codes)
    assert json.loads((run / runs.RECORD).read_text())["tools"]["backend"] == "jax"
    exported = on_jax(compiled, "-m", "edge_fm", "export", run, "-o", model, codes=codes)
    assert "labels agree on 100.00%" in exported


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("backend", ["torch", "no-such-backend"])
def test_a_backend_that_is_not_there_is_named(backend: str, tmp_path: Path) -> None:
    """A missing Keras backend is named in one line."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge_fm",
            "train",
            "wardrobe",
            "--model",
            "edge-nano",
            "-o",
            tmp_path / "run",
        ],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert f"KERAS_BACKEND={backend}" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.train
def test_a_model_is_not_converted_on_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has Keras on JAX is told what to set, instead of what TensorFlow says of it."""
    model = keras.load(ROOT / "samples" / "cnn.keras")
    monkeypatch.setattr(import_keras().backend, "backend", lambda: "jax")
    with pytest.raises(ExportError, match="set KERAS_BACKEND=tensorflow"):
        model.convert(17)
