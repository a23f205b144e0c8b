"""Train a Keras network with Adam and early stopping; Ctrl-C keeps the best epoch.

With patience, the learning rate is quartered when the validation loss has not fallen by a thousandth for two
epochs. Without, it follows a cosine to zero (Loshchilov and Hutter, 2016, arXiv:1608.03983).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation import transforms
from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import Split
from edge_fm.models import runs
from edge_fm.models.runs import Run
from edge_fm.models.tutorials import KerasModel
from edge_fm.training.results import Figures, FitInputs, Fitted, Listener, class_weights
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError

_SCALE = np.float32(255)
_STEPS = 16
_BETTER = 1e-3
"""Fall of the validation loss, in nats, from which an epoch counts as better."""


def fit(model: KerasModel, inputs: FitInputs) -> Fitted:
    """Train a network, and keep the weights of the best epoch, or of the last without patience.

    Args:
        model: freshly built, uncompiled.
        inputs: images and settings; `model.keras` goes to their folder.

    Raises:
        DataError: it was interrupted before one epoch was done, or `init_from` is no run of this
            architecture.
    """
    keras = import_keras()
    if inputs.init_from is not None:
        _copy_weights(model, inputs.init_from)
    settings, training, folder = inputs.settings, inputs.training, inputs.folder
    classes = int(model.output_shape[-1])
    steps = settings.epochs * -(-len(training) // settings.batch_size)
    rate = settings.learning_rate
    schedule = rate if settings.patience else keras.optimizers.schedules.CosineDecay(rate, steps)
    _compile(model, inputs.metrics, schedule)
    validation = _arrays(inputs.validation.split, classes) if inputs.validation is not None else None
    recorder = _recorder(inputs.listener, keep_last=settings.patience is None)
    callbacks = [recorder]
    if settings.patience is not None:
        callbacks += [
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.25, patience=2, min_delta=_BETTER),
            keras.callbacks.EarlyStopping("val_loss", patience=settings.patience, min_delta=_BETTER),
        ]
    weights = class_weights(training.labels) if settings.balance else None
    if inputs.augment is None:
        pictures: dict[str, Any] = {"batch_size": settings.batch_size, "class_weight": weights}
        pictures |= dict(zip("xy", _arrays(training, classes), strict=True))
    else:
        batches = _varied_batches(inputs, inputs.augment, classes, weights)
        pictures = {"x": batches, "steps_per_epoch": -(-len(training) // settings.batch_size)}
    interrupted = False
    try:
        model.fit(
            **pictures,
            validation_data=validation,
            epochs=settings.epochs,
            callbacks=callbacks,
            verbose=0,
        )
    except KeyboardInterrupt:
        interrupted = True
    if not recorder.kept_epoch:
        raise DataError("the training was interrupted before its first epoch was done: nothing was kept")
    model.set_weights(recorder.weights)
    _save(model, folder / runs.MODEL)
    best = load_uncompiled(folder / runs.MODEL)
    _save(best, folder / runs.MODEL)  # without the optimiser's state, a third of the size
    _compile(best, inputs.metrics, rate)

    def score(split: Split) -> Figures:
        found = best.evaluate(*_arrays(split, classes), batch_size=500, verbose=0, return_dict=True)
        return {name: float(value) for name, value in found.items()}

    def predict(split: Split) -> NDArray[np.int64]:
        answers = best.predict(_arrays(split, classes)[0], batch_size=500, verbose=0)
        return np.asarray(answers.argmax(axis=1), np.int64)

    return Fitted(recorder.history, recorder.kept_epoch, interrupted, score, predict)


def _copy_weights(model: KerasModel, init_from: Path) -> None:
    """Give a network the weights of a run of the same architecture.

    Raises:
        DataError: it is no such run, or its weights have other shapes.
    """
    run = Run.load(init_from)
    try:
        weights = load_uncompiled(init_from / run.model).get_weights()
        model.set_weights(weights)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"the weights of {init_from} do not fit: it is a run of {run.architecture} on images of "
            f"{run.input_shape} in {len(run.class_names)} classes; give a run of the same model, size and classes"
        ) from error


def load_uncompiled(path: Path) -> KerasModel:
    """Return a model that a training of ours wrote; other files go through the exporter's checks."""
    keras = import_keras()
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _compile(model: KerasModel, metrics: tuple[str, ...], rate: Any) -> None:  # noqa: ANN401  # a number or a schedule
    keras = import_keras()
    kinds = {"precision": keras.metrics.Precision, "recall": keras.metrics.Recall}
    more = [kinds[name](name=name) for name in metrics]
    # XLA is slower on a processor's convolutions. Several steps per call save a small network Python's
    # overhead.
    model.compile(
        keras.optimizers.Adam(rate),
        "categorical_crossentropy",
        metrics=["accuracy", *more],
        jit_compile=False,
        steps_per_execution=_STEPS,
    )


def _arrays(split: Split, classes: int) -> tuple[Any, Any]:
    """Return float32 pixels in [0, 1] and one-hot classes."""
    return split.images.astype(np.float32) / _SCALE, np.eye(classes, dtype=np.float32)[split.labels]


def _varied_batches(
    inputs: FitInputs, variation: Variation, classes: int, weights: dict[int, float] | None
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (pixels, one-hot classes, weights) of every batch of every epoch, each picture varied anew."""
    training, rng = inputs.training, np.random.default_rng(inputs.settings.seed)
    size, is_grey = inputs.settings.batch_size, training.images.shape[-1] == 1
    weight_of = np.array([(weights or {}).get(label, 1.0) for label in range(classes)], np.float32)
    while True:
        order = rng.permutation(len(training))
        for start in range(0, len(order), size):
            part = training.take(order[start : start + size])
            bare = part.images[..., 0] if is_grey else part.images
            views = np.stack([transforms.camera_view(image, variation, rng) for image in bare])
            varied = Split(views.reshape(part.images.shape), part.labels)
            yield *_arrays(varied, classes), weight_of[part.labels]


def _recorder(listener: Listener, *, keep_last: bool) -> Any:  # noqa: ANN401  # a class that exists once Keras is there
    keras = import_keras()

    class Recorder(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        """Record the history, call the listener, and keep the weights of the best epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.history: list[Figures] = []
            self.kept_epoch = 0
            self.weights: list[NDArray[np.float32]] = []
            self._least = float("inf")

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            listener(len(self.history) + 1, min(1.0, (batch + 1) / self.params["steps"]), None)

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            figures = {name.replace("val_", "validation_"): float(value) for name, value in logs.items()}
            figures.pop("learning_rate", None)
            self.history.append(figures)
            loss = figures.get("validation_loss", 0.0)
            if keep_last or loss < self._least:
                self._least = loss
                self.weights = (
                    self.model.get_weights()
                )  # a file of each epoch takes longer than a short epoch
                self.kept_epoch = epoch + 1
            listener(epoch + 1, 1.0, figures)

    return Recorder()


def _save(model: KerasModel, path: Path) -> None:
    """Save a model; the file takes its place only when it is whole."""
    partial = path.with_name(f".{path.stem}.partial.keras")
    model.save(partial)
    partial.replace(path)
