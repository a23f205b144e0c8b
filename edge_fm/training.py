"""Train an architecture of the zoo on a data set, into a run folder."""

import csv
import datetime as dt
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm import runs
from edge_fm.datasets import Dataset, Split
from edge_fm.runs import Run
from edge_fm.zoo import Architecture, KerasModel
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError

_SCALE = np.float32(255)


@dataclass(frozen=True)
class Settings:
    """How long and how to train; early stopping watches the validation loss.

    Attributes:
        epochs: at most this many.
        batch_size: pictures a step.
        patience: epochs without a better validation loss before it stops.
        validation_share: of the training part, in (0, 1).
        seed: of weights, order and split.
    """

    epochs: int = 30
    batch_size: int = 64
    patience: int = 4
    validation_share: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What one epoch reached; losses in nats, accuracies in [0, 1]."""

    number: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


Listener = Callable[[int, float, Epoch | None], None]
"""Called with (epoch from 1, share of it done, its result once it is done)."""


def train(
    architecture: Architecture,
    dataset: Dataset,
    data: str,
    folder: Path,
    settings: Settings,
    listener: Listener,
) -> Run:
    """Train, keep the weights of the best epoch, measure them once on the test part, and write the run folder.

    Ctrl-C ends the training and keeps the best epoch so far.

    Args:
        architecture: what to build.
        dataset: what to train on; early stopping sees a part of `train`, never `test`.
        data: how the user named the data set.
        folder: made if it is not there.
        settings: how long and how.
        listener: told of progress.

    Raises:
        OutputError: the folder cannot be written.
        DataError: it was interrupted before one epoch was done.
    """
    keras = import_keras()
    runs.begin(folder)
    keras.utils.set_random_seed(settings.seed)
    training, validation = dataset.split_validation(settings.validation_share, settings.seed)
    model = architecture.build(dataset.spec, len(dataset.class_names))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    recorder = _recorder(listener, folder)
    interrupted = False
    try:
        model.fit(
            *_as_floats(training),
            validation_data=_as_floats(validation),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            callbacks=[recorder, keras.callbacks.EarlyStopping("val_loss", patience=settings.patience)],
            verbose=0,
        )
    except KeyboardInterrupt:
        interrupted = True
    if recorder.best is None:
        raise DataError("the training was interrupted before its first epoch was done: nothing was kept")
    best = load_uncompiled(folder / runs.MODEL)
    _save(best, folder / runs.MODEL)  # without the optimiser's state, a third of the size
    run = Run(
        architecture=architecture.name,
        data=data,
        class_names=dataset.class_names,
        scale="unit",
        epochs=len(recorder.epochs),
        best_epoch=recorder.best.number,
        seed=settings.seed,
        validation_share=settings.validation_share,
        validation_accuracy=recorder.best.validation_accuracy,
        test_accuracy=_accuracy(best, dataset.test),
        interrupted=interrupted,
        licence=dataset.licence,
        tools={
            "python": platform.python_version(),
            "keras": keras.version(),
            "backend": keras.backend.backend(),
        },
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    _write_history(folder / runs.HISTORY, recorder.epochs)
    draw_curves(folder / runs.CURVES, recorder.epochs, recorder.best)
    run.save(folder)
    return run


def load_uncompiled(path: Path) -> KerasModel:
    """Return one of our own just-written models; a stranger's file goes through the exporter's checks."""
    keras = import_keras()
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _recorder(listener: Listener, folder: Path) -> Any:  # noqa: ANN401  # a class that exists once Keras is there
    keras = import_keras()

    class Recorder(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        """Keeps the history, tells the listener, and saves an epoch that is better than all before."""

        def __init__(self) -> None:
            super().__init__()
            self.epochs: list[Epoch] = []
            self.best: Epoch | None = None

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            listener(len(self.epochs) + 1, (batch + 1) / self.params["steps"], None)

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            done = Epoch(epoch + 1, logs["loss"], logs["accuracy"], logs["val_loss"], logs["val_accuracy"])
            self.epochs.append(done)
            if self.best is None or done.validation_loss < self.best.validation_loss:
                _save(self.model, folder / runs.MODEL)
                self.best = done
            listener(done.number, 1.0, done)

    return Recorder()


def _save(model: KerasModel, path: Path) -> None:
    """Save a model; the file takes its place only when it is whole."""
    partial = path.with_name(f".{path.stem}.partial.keras")
    model.save(partial)
    partial.replace(path)


def _as_floats(split: Split) -> tuple[Any, Any]:
    return split.images.astype(np.float32) / _SCALE, split.labels


def _accuracy(model: KerasModel, split: Split) -> float:
    images, labels = _as_floats(split)
    return float(np.mean(model.predict(images, batch_size=500, verbose=0).argmax(axis=1) == labels))


def _write_history(path: Path, epochs: list[Epoch]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"])
        writer.writerows(
            [e.number, *(f"{v:.6f}" for v in (e.loss, e.accuracy, e.validation_loss, e.validation_accuracy))]
            for e in epochs
        )


def draw_curves(path: Path, epochs: list[Epoch], best: Epoch) -> None:
    """Draw loss and accuracy over the epochs, training and validation, with the kept epoch marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    numbers = [e.number for e in epochs]
    panels = (
        ("Loss", [e.loss for e in epochs], [e.validation_loss for e in epochs]),
        ("Accuracy", [e.accuracy for e in epochs], [e.validation_accuracy for e in epochs]),
    )
    for axes, (title, training, validation) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.plot(numbers, training, marker="o", markersize=3, label="training")
        axes.plot(numbers, validation, marker="o", markersize=3, label="validation")
        axes.axvline(best.number, color="0.6", linestyle=":", label=f"kept: epoch {best.number}")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
