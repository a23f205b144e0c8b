"""Train a Keras network with Adam: early stopping on validation pictures, Ctrl-C keeps what there is.

With patience, the learning rate is quartered when the validation loss has not fallen by a thousandth for two epochs; without,
it runs out over the epochs as a cosine (Loshchilov and Hutter, 2016, arXiv:1608.03983).
"""

from pathlib import Path
from typing import Any

import numpy as np

from edge_fm.datasets import Split
from edge_fm.models import runs
from edge_fm.models.settings import TrainSettings
from edge_fm.models.tutorials import KerasModel
from edge_fm.training.results import Figures, Fitted, Listener, Watched, class_weights
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError

_SCALE = np.float32(255)
_STEPS = 16
_RATE = 1e-3
_BETTER = 1e-3
"""By how much the validation loss must fall, in nats, for an epoch to count as better."""


def fit(
    model: KerasModel,
    training: Split,
    validation: Watched | None,
    settings: TrainSettings,
    listener: Listener,
    folder: Path,
    metrics: tuple[str, ...] = (),
) -> Fitted:
    """Train a network into `folder`, and keep the weights of the best epoch, or of the last without patience.

    Args:
        model: freshly built, uncompiled.
        training: what it is trained on.
        validation: what early stopping watches; needed with patience.
        settings: how long and how.
        listener: told of progress.
        folder: where `model.keras` goes.
        metrics: beyond accuracy: `precision`, `recall` (of probabilities over one half, all classes together).

    Raises:
        DataError: it was interrupted before one epoch was done.
    """
    keras = import_keras()
    classes = int(model.output_shape[-1])
    steps = settings.epochs * -(-len(training) // settings.batch_size)
    _compile(
        model, metrics, _RATE if settings.patience else keras.optimizers.schedules.CosineDecay(_RATE, steps)
    )
    recorder = _recorder(listener, folder, keep_last=settings.patience is None)
    callbacks = [recorder]
    if settings.patience is not None:
        callbacks += [
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.25, patience=2, min_delta=_BETTER),
            keras.callbacks.EarlyStopping("val_loss", patience=settings.patience, min_delta=_BETTER),
        ]
    interrupted = False
    try:
        model.fit(
            *_arrays(training, classes),
            validation_data=_arrays(validation.split, classes) if validation is not None else None,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            class_weight=class_weights(training.labels) if settings.balance else None,
            callbacks=callbacks,
            verbose=0,
        )
    except KeyboardInterrupt:
        interrupted = True
    if not recorder.kept_epoch:
        raise DataError("the training was interrupted before its first epoch was done: nothing was kept")
    best = load_uncompiled(folder / runs.MODEL)
    _save(best, folder / runs.MODEL)  # without the optimiser's state, a third of the size
    _compile(best, metrics, _RATE)

    def score(split: Split) -> Figures:
        found = best.evaluate(*_arrays(split, classes), batch_size=500, verbose=0, return_dict=True)
        return {name: float(value) for name, value in found.items()}

    return Fitted(recorder.history, recorder.kept_epoch, interrupted, score)


def load_uncompiled(path: Path) -> KerasModel:
    """Return one of our own just-written models; a stranger's file goes through the exporter's checks."""
    keras = import_keras()
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _compile(model: KerasModel, metrics: tuple[str, ...], rate: Any) -> None:  # noqa: ANN401  # a number or a schedule
    keras = import_keras()
    kinds = {"precision": keras.metrics.Precision, "recall": keras.metrics.Recall}
    more = [kinds[name](name=name) for name in metrics]
    # XLA is slower on a processor's convolutions; several steps at a time spare a small network the way through Python.
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


def _recorder(listener: Listener, folder: Path, *, keep_last: bool) -> Any:  # noqa: ANN401  # a class that exists once Keras is there
    keras = import_keras()

    class Recorder(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        """Keeps the history, tells the listener, and saves the epoch that is to be kept."""

        def __init__(self) -> None:
            super().__init__()
            self.history: list[Figures] = []
            self.kept_epoch = 0
            self._least = float("inf")

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            listener(len(self.history) + 1, (batch + 1) / self.params["steps"], None)

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            figures = {name.replace("val_", "validation_"): float(value) for name, value in logs.items()}
            figures.pop("learning_rate", None)
            self.history.append(figures)
            loss = figures.get("validation_loss", 0.0)
            if keep_last or loss < self._least:
                self._least = loss
                _save(self.model, folder / runs.MODEL)
                self.kept_epoch = epoch + 1
            listener(epoch + 1, 1.0, figures)

    return Recorder()


def _save(model: KerasModel, path: Path) -> None:
    """Save a model; the file takes its place only when it is whole."""
    partial = path.with_name(f".{path.stem}.partial.keras")
    model.save(partial)
    partial.replace(path)
