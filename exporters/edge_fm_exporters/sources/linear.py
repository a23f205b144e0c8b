"""Convert a linear classifier to one dense layer, with its scalers folded into the weights.

Every link from scores to probabilities is written so that float32 keeps the order of the scores.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL_SHARE = 1e-6
"""Added to the winner of a one-versus-rest classifier: two sure classifiers give the same float32
probability, and scikit-learn's label is that of the larger score."""

_BINARY = 2


class Link(StrEnum):
    """Function from scores to probabilities."""

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


def as_linear(model: Any) -> Linear | None:  # noqa: ANN401
    """Return a linear classifier as one layer, scalers folded in; None if it is none."""
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
    if len(model.classes_) <= _BINARY:
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


def shape(operator: Any) -> None:  # noqa: ANN401
    """Say what a linear classifier answers, as skl2onnx asks it."""
    from skl2onnx.common.data_types import FloatTensorType

    operator.outputs[0].type = FloatTensorType([None, operator.raw_operator.classes])


def nodes(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
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
    """Write scikit-learn's `_ovr_decision_function`: votes, plus a bounded sum of scores."""
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
