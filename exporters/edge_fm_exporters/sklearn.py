"""scikit-learn as a source: `.skops` files, of which only known types are loaded.

A linear classifier, alone or behind scalers, becomes one dense layer: the scalers are folded into its weights, and the
binary classifiers of one-versus-rest and one-versus-one lie side by side in it. Everything else goes the way that skl2onnx
knows for it.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import installed, versions
from edge_fm_exporters.source import SourceModel
from edge_fm_runtime.errors import ExportError, ModelError
from edge_fm_runtime.passport import InputSpec
from edge_fm_runtime.session import INPUT

SUFFIXES = (".skops",)

LABEL_SHARE = 1e-6
"""What the winner of a one-versus-rest is given beyond its share: classifiers that are sure of two classes at once answer
with the same probability in float32, and scikit-learn's label is that of the larger score."""

_TESTED = {"scikit-learn": "1.9.1", "skl2onnx": "1.20.0", "skops": "0.16.0", "onnx": "1.23.2"}
_HARMLESS = {
    f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer")
}
"""Types beyond those for which skops vouches: plain Python of scikit-learn's that holds numbers."""

_ML_OPSET = 3
_LAYER = ("reshape_1", "gemm_1")
_MIN_CLASSES = 2


class Link(StrEnum):
    """How scores become probabilities."""

    SOFTMAX = "softmax"
    SIGMOIDS = "sigmoids"  # each class's own, made to sum to one
    VOTES = "votes"  # of pairs, with scikit-learn's tie-break, made to sum to one


@dataclass(frozen=True)
class Linear:
    """A linear classifier on pixels.

    Attributes:
        weights: (features, scores) float64.
        bias: (scores,) float64.
        link: how scores become probabilities.
        classes: how many.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    link: Link
    classes: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002  # what skl2onnx asks of an estimator
        """Return nothing: there is nothing to set."""
        return {}


def load(path: Path) -> SourceModel:
    """Read a scikit-learn classifier for export.

    Args:
        path: a `.skops` file with a fitted classifier of pictures' pixels, one after the other.

    Raises:
        ModelError: it is missing, no skops file, brings types that are not known, or is no classifier of pictures.
    """
    if not path.is_file():
        raise ModelError(f"there is no model {str(path)!r}: give a run folder, or a .skops file")
    model = _read(path)
    spec, classes = _picture_classifier(path, model)
    linear = as_linear(model)
    if linear is None and not hasattr(model, "predict_proba"):
        raise ModelError(
            f"{path} is a {type(model).__name__} without probabilities: fit it with loss='log_loss', or calibrate it with "
            "sklearn.calibration.CalibratedClassifierCV. Votes are made to probabilities for OneVsOneClassifier of linear ones"
        )

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return probabilities(model, linear, images.reshape(len(images), -1)).astype(np.float32)

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


def as_linear(model: Any) -> Linear | None:  # noqa: ANN401
    """Return a linear classifier, with the scalers before it folded into its weights, as one layer; None if it is no such."""
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    found = _scores(steps[-1])
    if found is None:
        return None
    weights, bias, link = found
    for scaler in reversed(steps[:-1]):
        affine = _affine(scaler)
        if affine is None:
            return None
        factor, offset = affine
        bias = bias + offset @ weights
        weights = weights * factor[:, np.newaxis]
    return Linear(weights, bias, link, len(model.classes_))


def _affine(scaler: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:  # noqa: ANN401
    """Return (factor, offset) of a scaler, such that it answers x * factor + offset."""
    kind = type(scaler).__name__
    features = np.ones(scaler.n_features_in_)
    if kind == "StandardScaler":
        factor = 1 / scaler.scale_ if scaler.with_std else features
        return factor, -scaler.mean_ * factor if scaler.with_mean else 0 * features
    if kind == "MinMaxScaler" and not scaler.clip:
        return scaler.scale_, scaler.min_
    if kind == "MaxAbsScaler" and not getattr(scaler, "clip", False):
        return 1 / scaler.scale_, 0 * features
    return None


def _scores(model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], Link] | None:  # noqa: ANN401
    """Return (weights, bias, link) of a linear classifier of more than two classes."""
    kind = type(model).__name__
    if len(model.classes_) <= _MIN_CLASSES:
        return None
    if kind in {"OneVsRestClassifier", "OneVsOneClassifier"}:
        binary = model.estimators_
        if not all(_is_logistic(one) or (kind == "OneVsOneClassifier" and _is_plane(one)) for one in binary):
            return None
        weights = np.concatenate([one.coef_ for one in binary]).T.astype(np.float64)
        bias = np.concatenate([np.ravel(one.intercept_) for one in binary]).astype(np.float64)
        return weights, bias, Link.SIGMOIDS if kind == "OneVsRestClassifier" else Link.VOTES
    if not _is_logistic(model):
        return None
    link = Link.SOFTMAX if kind == "LogisticRegression" and model.solver != "liblinear" else Link.SIGMOIDS
    return model.coef_.T.astype(np.float64), np.ravel(model.intercept_).astype(np.float64), link


def _is_logistic(model: Any) -> bool:  # noqa: ANN401
    return type(model).__name__ == "LogisticRegression" or (
        type(model).__name__ == "SGDClassifier" and model.loss == "log_loss"
    )


def _is_plane(model: Any) -> bool:  # noqa: ANN401
    return type(model).__name__ in {"SGDClassifier", "LinearSVC", "Perceptron", "RidgeClassifier"}


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


def _picture_classifier(path: Path, model: Any) -> tuple[InputSpec, int]:  # noqa: ANN401
    features, classes = getattr(model, "n_features_in_", None), getattr(model, "classes_", None)
    if (
        features is None
        or classes is None
        or not (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))
    ):
        raise ModelError(
            f"{path} is a {type(model).__name__}, expected a fitted classifier of pictures' pixels"
        )
    if len(classes) < _MIN_CLASSES:
        raise ModelError(f"{path} tells {len(classes)} classes apart, expected at least two")
    if np.issubdtype(np.asarray(classes).dtype, np.number) and list(classes) != list(range(len(classes))):
        raise ModelError(
            f"{path} numbers its classes {', '.join(map(str, classes[:5]))}, ..., expected 0 to {len(classes) - 1}"
        )
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side * side * channels == features:
            return InputSpec(side, side, channels), len(classes)
    raise ModelError(f"{path} takes {features} numbers, which are no square picture in grey or in colour")


def _names(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the classes' names where the model was fitted on names."""
    classes = np.asarray(model.classes_)
    return () if np.issubdtype(classes.dtype, np.number) else tuple(map(str, classes))


def _convert(model: Any, spec: InputSpec, opset: int) -> Any:  # noqa: ANN401
    import onnx
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType

    update_registered_converter(Linear, "EdgeFmLinear", _linear_shape, _linear_nodes)
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


def _linear_shape(operator: Any) -> None:  # noqa: ANN401
    from skl2onnx.common.data_types import FloatTensorType

    operator.outputs[0].type = FloatTensorType([None, operator.raw_operator.classes])


def _linear_nodes(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    """Write the nodes of a linear classifier; every link keeps the order of the scores in float32."""
    model: Linear = operator.raw_operator

    def constant(name: str, value: NDArray[np.float64]) -> str:
        unique = scope.get_unique_variable_name(name)
        container.add_initializer(unique, 1, value.shape, value.astype(np.float32).ravel())
        return str(unique)

    def node(kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        output = str(scope.get_unique_variable_name(kind.lower()))
        container.add_node(
            kind, list(inputs), output, name=scope.get_unique_operator_name(kind), **attributes
        )
        return output

    scores = node(
        "Gemm", operator.inputs[0].full_name, constant("weights", model.weights), constant("bias", model.bias)
    )
    if model.link is Link.SOFTMAX:
        answer = node("Softmax", scores, axis=1)
    elif model.link is Link.SIGMOIDS:
        # softmax(log(sigmoid(score))) is sigmoid / sum of sigmoids, without the underflow.
        shares = node("Softmax", node("Neg", node("Softplus", node("Neg", scores))), axis=1)
        wins = node("Equal", scores, _reduced("ReduceMax", scores, node, container, input_since=18))
        bonus = node("Mul", node("Cast", wins, to=1), constant("label_share", np.array([LABEL_SHARE])))
        raised = node("Add", shares, bonus)
        answer = node("Div", raised, constant("total", np.array([1 + LABEL_SHARE])))
    else:
        total = _votes(model, scores, node, constant)
        answer = node("Div", total, _reduced("ReduceSum", total, node, container, input_since=13))
    container.add_node(
        "Identity", answer, operator.outputs[0].full_name, name=scope.get_unique_operator_name("Identity")
    )


def _votes(model: Linear, scores: str, node: Any, constant: Any) -> str:  # noqa: ANN401
    """Write scikit-learn's `_ovr_decision_function`: votes, plus the sum of scores pressed into a third of a vote."""
    pairs = [(i, j) for i in range(model.classes) for j in range(i + 1, model.classes)]
    sides = np.zeros((len(pairs), model.classes))
    for row, (first, second) in enumerate(pairs):
        sides[row, first], sides[row, second] = -1, 1
    start = (sides < 0).sum(
        axis=0
    ) + 1 / 3  # if every pair votes for its first class; a third makes all positive
    second_wins = node("Cast", node("Greater", scores, constant("zero", np.array([0.0]))), to=1)
    votes = node("Gemm", second_wins, constant("sides", sides), constant("start", start))
    sums = node("MatMul", scores, constant("sides", sides))
    width = node(
        "Mul",
        node("Add", node("Abs", sums), constant("one", np.array([1.0]))),
        constant("three", np.array([3.0])),
    )
    return str(node("Add", votes, node("Div", sums, width)))


def _reduced(kind: str, scores: str, node: Any, container: Any, input_since: int) -> str:  # noqa: ANN401
    """Write a reduction over the classes; its axis became an input with an operator set of its own."""
    if container.target_opset < input_since:
        return str(node(kind, scores, axes=[1], keepdims=1))
    axis = f"{kind.lower()}_axis"
    container.add_initializer(axis, 7, (1,), [1])  # 7 is INT64
    return str(node(kind, scores, axis, keepdims=1))
