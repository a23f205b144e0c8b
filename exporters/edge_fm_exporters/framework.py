"""Import Keras and TensorFlow without the messages that they print about GPUs."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from edge_fm_runtime.errors import ExportError

_OPTIONAL = ("jax", "matplotlib", "pandas", "sklearn")


def import_keras() -> Any:  # noqa: ANN401  # Keras ships no types
    """Return the `keras` module, its backend loaded.

    Raises:
        ExportError: the train extra is not installed, or not the backend that KERAS_BACKEND names.
    """
    named = os.environ.get("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without_native_stderr(unless="keras"), _without_optional_libraries(named):
            import keras

            keras.backend.backend()
    except (ImportError, ValueError):  # the latter of a backend that it does not know
        if named != "tensorflow" and importlib.util.find_spec("keras") is not None:
            raise ExportError(
                f"Keras cannot run with KERAS_BACKEND={named}: install that, or set KERAS_BACKEND=tensorflow"
            ) from None
        raise ExportError(
            "this needs Keras and TensorFlow, which are not installed: run pip install 'edge-fm[train]'"
        ) from None
    return keras


def import_tf_keras() -> Any:  # noqa: ANN401  # tf-keras ships no types
    """Return the `tf_keras` module, which is Keras 2; None if it is not installed."""
    try:
        with _without_native_stderr(unless="keras"):
            import tf_keras
    except ImportError:
        return None
    return tf_keras


def import_tensorflow() -> Any:  # noqa: ANN401  # TensorFlow ships no types
    """Return the `tensorflow` module.

    Raises:
        ExportError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without_native_stderr(unless="tensorflow"):
            import tensorflow as tf
    except ImportError:
        raise ExportError(
            "this needs TensorFlow, which is not installed: run pip install 'edge-fm[train]'"
        ) from None
    return tf


def import_sklearn(module: str) -> Any:  # noqa: ANN401  # scikit-learn ships no types
    """Return a module of scikit-learn by its name, such as `linear_model`.

    Raises:
        ExportError: scikit-learn is not installed.
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise ExportError(
            "this needs scikit-learn, which is not installed: run pip install scikit-learn"
        ) from None


def prefer_tensorflow() -> None:
    """Select TensorFlow as Keras' backend for an export; without effect once Keras is imported."""
    os.environ["KERAS_BACKEND"] = "tensorflow"


@contextlib.contextmanager
def _without_native_stderr(unless: str) -> Iterator[None]:
    """Send what C++ writes to standard error nowhere; the log level does not reach its first lines.

    Args:
        unless: module that has been imported if there are no such lines left.
    """
    if unless in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # a device, not a path
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _without_optional_libraries(backend: str) -> Iterator[None]:
    """Keep out optional libraries of Keras and TensorFlow that no model needs.

    They take a third of the time of both. Whoever needs them later imports them as ever.

    Args:
        backend: Keras' backend, which is needed.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        yield
        return
    kept_out = [name for name in _OPTIONAL if name != backend and name not in sys.modules]
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]  # None, which is how Python refuses an import
    try:
        yield
    finally:
        for name in kept_out:
            del sys.modules[name]


def versions(tested: Mapping[str, str]) -> str:
    """Return what is installed beside what is tested, for the message of a failed conversion."""
    here = ", ".join(f"{name} {version}" for name, version in installed(tested))
    return f"installed are {here}; tested are {', '.join(f'{name} {version}' for name, version in tested.items())}"


def installed(tested: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return (name, version) of the given tools that are installed."""
    found = []
    for name in tested:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append((name, importlib.metadata.version(name)))
    return tuple(found)
