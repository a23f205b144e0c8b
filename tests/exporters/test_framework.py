"""Import of Keras and TensorFlow."""

import os
import subprocess
import sys

import pytest

_IMPORT = """
import sys
from edge_fm_exporters.framework import import_keras
keras = import_keras()
print(keras.backend.backend(), [name for name in ("jax", "matplotlib", "pandas", "sklearn") if name in sys.modules])
import sklearn.utils
import matplotlib.pyplot
keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).predict(keras.ops.ones((1, 2)), verbose=0)
"""


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize(("backend", "loaded"), [("tensorflow", []), ("jax", ["jax"])])
def test_keras_loads_no_library_that_no_model_needs(backend: str, loaded: list[str]) -> None:
    """Only the backend is loaded, and libraries that were kept out can be imported afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{backend} {loaded}"
