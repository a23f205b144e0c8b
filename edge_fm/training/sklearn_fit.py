"""Fit, score and save linear classifiers of scikit-learn."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Split
from edge_fm.models.linear import Estimator
from edge_fm.training.results import Figures, FitInputs, Fitted, class_weights
from edge_fm_runtime.errors import DataError

_SCALE = np.float32(255)

_SMALLEST = 1e-7


def pixels(split: Split) -> NDArray[np.float32]:
    """Return (N, height * width * channels) float32 in [0, 1]."""
    return split.images.reshape(len(split), -1).astype(np.float32) / _SCALE


def fit(model: Estimator, inputs: FitInputs) -> Fitted:
    """Fit a classifier; one that is fitted pass by pass is scored after each pass.

    Args:
        model: freshly built.
        inputs: images and settings; nothing is chosen on the validation images.

    Raises:
        DataError: it was interrupted before one pass was done.
    """
    training, settings = inputs.training, inputs.settings
    weights = class_weights(training.labels) if settings.balance else None
    _set_everywhere(model, "random_state", settings.seed)
    if weights is not None:
        one_of_many = hasattr(model, "estimator")  # a binary classifier inside knows no other classes
        _set_everywhere(model, "class_weight", "balanced" if one_of_many else weights)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # no warning that it has not converged: the user chooses how long it runs
        if hasattr(model, "steps"):
            return _fit_by_passes(model, inputs)
        model.fit(pixels(training), training.labels)
    inputs.listener(1, 1.0, None)
    return _fitted(model, [score(model, training)], interrupted=False)


def _fitted(model: Estimator, history: list[Figures], *, interrupted: bool) -> Fitted:
    return Fitted(
        history,
        len(history),
        interrupted,
        score=lambda split: score(model, split),
        predict=lambda split: np.asarray(model.predict(pixels(split)), np.int64),
    )


def score(model: Estimator, split: Split) -> Figures:
    """Return the accuracy, and the loss where the model has probabilities."""
    return _figures(model, pixels(split), split.labels)


def save(model: Estimator, path: Path) -> None:
    """Keep a fitted classifier with skops; the file takes its place only when it is whole."""
    import skops.io

    partial = path.with_name(f".{path.name}.partial")
    skops.io.dump(model, partial)
    partial.replace(path)


def _fit_by_passes(model: Estimator, inputs: FitInputs) -> Fitted:
    (_, scaler), (_, classifier) = model.steps
    training, validation = inputs.training, inputs.validation
    standardised = scaler.fit_transform(pixels(training))
    history: list[Figures] = []
    interrupted = False
    try:
        for number in range(1, inputs.settings.epochs + 1):
            classifier.partial_fit(standardised, training.labels, classes=np.unique(training.labels))
            figures = _figures(classifier, standardised, training.labels)
            if validation is not None:
                scored = score(model, validation.split)
                figures |= {f"{validation.name}_{key}": value for key, value in scored.items()}
            history.append(figures)
            inputs.listener(number, 1.0, figures)
    except KeyboardInterrupt:
        interrupted = True
    if not history:
        raise DataError("the training was interrupted before its first pass was done: nothing was kept")
    return _fitted(model, history, interrupted=interrupted)


def _figures(model: Estimator, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> Figures:
    figures = {"accuracy": float(np.mean(model.predict(inputs) == labels))}
    if hasattr(model, "predict_proba"):
        chosen = model.predict_proba(inputs)[np.arange(len(labels)), labels]
        figures["loss"] = float(-np.log(np.maximum(chosen, _SMALLEST)).mean())
    return figures


def _set_everywhere(model: Estimator, name: str, value: object) -> None:
    """Set a parameter of the model and of those inside it, wherever there is one of that name."""
    found = [key for key in model.get_params() if key.rpartition("__")[2] == name]
    model.set_params(**dict.fromkeys(found, value))
