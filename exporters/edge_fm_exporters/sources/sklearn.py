"""scikit-learn as a source: `.skops` files, of which only known types are loaded.

A linear classifier, alone or behind scalers, becomes one dense layer (`linear.py`). Everything else goes the
way that skl2onnx knows for it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import installed, versions
from edge_fm_exporters.sources import linear as linear_layer
from edge_fm_exporters.sources.archive_limits import within_limits
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import input_layout
from edge_fm_exporters.sources.linear import LABEL_SHARE, Linear, Link, as_linear
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.session import INPUT
from edge_fm_runtime.errors import ExportError, ModelError

_TESTED = {"scikit-learn": "1.9.1", "skl2onnx": "1.20.0", "skops": "0.16.0", "onnx": "1.23.2"}
_HARMLESS = {
    f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer")
}
"""Types beyond those for which skops vouches: plain Python of scikit-learn's that holds numbers."""

_ML_OPSET = 3
_LAYER = ("reshape_1", "gemm_1")
_MIN_CLASSES, _MAX_CLASSES = 2, 10_000
_MAX_FEATURES = 3 * 1024**2


@within_limits
def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a scikit-learn classifier for export.

    Args:
        path: a `.skops` file with a fitted classifier of pictures' pixels, one after the other.
        size: height and width of its pictures; None for square ones.

    Raises:
        ModelError: it is missing, no skops file, brings types that are not known, or is no classifier of
            pictures.
    """
    if not path.is_file():
        raise ModelError(f"there is no model {str(path)!r}: give a run folder, or a .skops file")
    model = _read(path)
    spec, classes = _picture_classifier(path, model, size)
    linear = as_linear(model)
    if linear is None and not hasattr(model, "predict_proba"):
        raise ModelError(
            f"{path} is a {type(model).__name__} without probabilities: fit it with loss='log_loss', or calibrate it with "
            "sklearn.calibration.CalibratedClassifierCV. Votes are made to probabilities for OneVsOneClassifier of linear ones"
        )

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return probabilities(model, linear, images.reshape(len(images), -1)).astype(np.float32)

    _check_answers(path, predict, spec, classes)

    def convert(opset: int) -> Any:  # noqa: ANN401  # onnx ships no types
        return _convert(linear if linear is not None else model, spec, opset)

    return SourceModel(
        path,
        spec,
        classes,
        predict,
        convert,
        installed(_TESTED),
        # A margin of hundreds, as stochastic gradient descent leaves it, has fewer decimals in float32.
        max_difference=1e-3,
        calibrated=hasattr(model, "predict_proba"),
        names=_names(model),
        quantizable=_LAYER if linear is not None else (),
    )


def probabilities(
    model: Any,  # noqa: ANN401  # scikit-learn ships no types
    linear: Linear | None,
    pixels: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return (N, classes): the model's own, or its normalised votes where it has none.

    Args:
        model: a fitted classifier.
        linear: the same as one layer, if it can be.
        pixels: (N, features), scaled.
    """
    if linear is not None and linear.link is not Link.SOFTMAX:
        scores = np.asarray(model.decision_function(pixels), np.float64)
        if linear.link is Link.VOTES:
            own = scores + 1 / 3  # which is the least that there can be
        else:  # in logarithms: sigmoids of a sure classifier are all zero or one, even in double precision
            own = _softmax(-np.logaddexp(0, -scores))
            own[np.arange(len(own)), scores.argmax(axis=1)] += LABEL_SHARE
    else:
        own = np.asarray(model.predict_proba(pixels), np.float64)
    return np.asarray(own / own.sum(axis=1, keepdims=True))


def _softmax(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _read(path: Path) -> Any:  # noqa: ANN401
    try:
        import skops.io
    except ImportError:
        raise ExportError(
            "this needs scikit-learn and skops, which are not installed: run pip install 'edge-fm[train]'"
        ) from None
    try:
        unknown = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # skops raises whatever a damaged archive leads to
        raise ModelError(
            f"{path} is no whole skops file ({error}): save it with skops.io.dump(model, 'name.skops')"
        ) from error
    if unknown := [name for name in unknown if name not in _HARMLESS]:
        raise ModelError(
            f"{path} brings {', '.join(unknown)}, for which skops does not vouch: it could run any code or break out of "
            "its memory, so it is not loaded. Linear models, naive Bayes and neural networks of scikit-learn are"
        )
    try:
        return skops.io.load(path, trusted=sorted(_HARMLESS))
    except Exception as error:  # the same
        raise ModelError(f"{path} cannot be read ({error}); {versions(_TESTED)}") from error


def _picture_classifier(path: Path, model: Any, size: tuple[int, int] | None) -> tuple[InputSpec, int]:  # noqa: ANN401
    features, classes = getattr(model, "n_features_in_", None), getattr(model, "classes_", None)
    if (
        features is None
        or classes is None
        or not (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))
    ):
        raise ModelError(
            f"{path} is a {type(model).__name__}, expected a fitted classifier of pictures' pixels"
        )
    if not isinstance(features, int | np.integer) or not 1 <= features <= _MAX_FEATURES:
        raise ModelError(f"{path} takes {features!r:.60} numbers, expected 1 to {_MAX_FEATURES:,}")
    features, shape = int(features), np.shape(classes)
    if len(shape) != 1 or shape[0] > _MAX_CLASSES or np.asarray(classes).dtype == object:
        raise ModelError(
            f"{path} has classes of the shape {shape}, expected a list of at most {_MAX_CLASSES:,} numbers or names"
        )
    if len(classes) < _MIN_CLASSES:
        raise ModelError(f"{path} tells {len(classes)} classes apart, expected at least two")
    if np.issubdtype(np.asarray(classes).dtype, np.number) and list(classes) != list(range(len(classes))):
        raise ModelError(
            f"{path} numbers its classes {', '.join(map(str, classes[:5]))}, ..., expected 0 to {len(classes) - 1}"
        )
    return input_layout(path, (None, int(features)), size).spec, len(classes)


def _check_answers(
    path: Path, predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], spec: InputSpec, classes: int
) -> None:
    """Refuse a classifier whose fitted arrays contradict each other."""
    answers = predict(np.zeros((2, *spec.shape), np.float32))
    if answers.shape != (2, classes) or not np.isfinite(answers).all():
        raise ModelError(
            f"{path} answers {answers.shape} for two images, expected finite numbers for {classes} classes: fit it again"
        )


def _names(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the classes' names where the model was fitted on names."""
    classes = np.asarray(model.classes_)
    return () if np.issubdtype(classes.dtype, np.number) else tuple(map(str, classes))


def _convert(model: Any, spec: InputSpec, opset: int) -> Any:  # noqa: ANN401
    import onnx
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType

    update_registered_converter(Linear, "EdgeFmLinear", linear_layer.shape, linear_layer.nodes)
    features = math.prod(spec.shape)
    options = None if isinstance(model, Linear) else {id(model): {"zipmap": False}}
    try:
        proto = convert_sklearn(
            model,
            initial_types=[("pixels", FloatTensorType([None, features]))],
            target_opset={"": opset, "ai.onnx.ml": _ML_OPSET},
            options=options,
        )
    except Exception as error:  # skl2onnx raises whatever it meets
        raise ExportError(
            f"the conversion to ONNX failed ({str(error).splitlines()[0]}); {versions(_TESTED)}"
        ) from error
    for known in proto.opset_import:  # it says the least that would do
        known.version = opset if known.domain in {"", "ai.onnx"} else known.version
    del proto.graph.output[:-1]  # the label; the probabilities come last
    flatten = onnx.helper.make_node("Reshape", [INPUT, "flat_shape"], ["pixels"])
    proto.graph.node.insert(0, flatten)
    proto.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([-1, features], np.int64), "flat_shape")
    )
    del proto.graph.input[:]
    proto.graph.input.append(
        onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, ["N", *spec.shape])
    )
    return proto
