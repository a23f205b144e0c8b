"""The epochs of the recipe: pictures drawn and answered by the teacher ahead of time, steps, the running average, what is watched, the state kept."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.models import runs
from edge_fm.training.edge import checkpoint, epoch_data, prefetch
from edge_fm.training.edge.distillation import Teacher, distillation_loss
from edge_fm.training.edge.epoch_data import EpochImages, Floats, TrainingImages
from edge_fm.training.edge.losses import partial_label_loss
from edge_fm.training.edge.optimizer import muon_with_ema
from edge_fm.training.edge.settings import EdgeSettings
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.posix import usable_cores

_MANY_STEPS = 20
"""Whose pictures are less than a twentieth more than those of as many whole batches."""

Listener = Callable[[int, float, dict[str, float] | None], None]
"""Called with (epoch from 1, share of it done, its figures once it is done)."""


def train(
    model: Any,  # noqa: ANN401  # Keras ships no types
    average: Any,  # noqa: ANN401
    material: TrainingImages,
    folder: Path,
    settings: EdgeSettings,
    listener: Listener,
    teacher: Teacher | None = None,
) -> list[dict[str, float]]:
    """Train in place, keeping the state of the last whole epoch in `folder`, and go on from there if it is there.

    Args:
        model: a Keras model with probabilities as output, and the weights to begin with.
        average: another of the same; it gets the running average of the weights, and is what is watched and kept.
        material: the pictures.
        folder: for the state and the history; it is there.
        settings: how.
        listener: told of progress.
        teacher: a model to learn from as well.

    Returns:
        the figures of every epoch.

    Raises:
        DataError: the state in the folder is of another training.
    """
    steps = steps_of(material.count(settings.mix), settings.batch_size)
    optimizer = _compile(model, steps, settings, taught=teacher is not None)
    facts = asdict(settings) | {"teacher": teacher.sha256 if teacher else None, "optimizer": "muon"}
    whose = checkpoint.fingerprint(model, material, facts)
    history = checkpoint.restore(model, folder / checkpoint.FILE, whose)

    class Told(import_keras().callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
            listener(len(history) + 1, (batch + 1) / steps, None)

    def catch_up() -> None:
        average.set_weights(model.get_weights())
        optimizer.average_into(average.trainable_variables)

    if history:
        catch_up()

    epochs = range(len(history), settings.epochs)
    draw = partial(_drawn, replace(material, watched={}), settings)
    with prefetch.prefetch_in_processes(prefetch.processes_for(usable_cores()), draw, epochs) as drawn_of:

        def epoch_inputs(index: int) -> tuple[Floats, Floats]:
            drawn = drawn_of(index)
            targets = teacher.targets(drawn) if teacher else drawn.allowed
            taken = steps * settings.batch_size  # all, or all but a part of a batch
            return _scaled(drawn.images[:taken]), targets[:taken]

        for images, targets in prefetch.prefetch(epoch_inputs, epochs):
            fit = model.fit(
                images, targets, batch_size=settings.batch_size, shuffle=False, verbose=0, callbacks=[Told()]
            )
            catch_up()
            figures = {"loss": float(fit.history["loss"][0])}
            for name, (watched, right) in material.watched.items():
                figures[name] = accuracy(probabilities(average, watched), right)
            history.append(figures)
            checkpoint.save(model, folder / checkpoint.FILE, history, whose)
            runs.write_history(folder / runs.HISTORY, history)
            listener(len(history), 1.0, figures)
    return history


def _compile(model: Any, steps: int, settings: EdgeSettings, *, taught: bool) -> Any:  # noqa: ANN401
    """Give a model its loss and its optimiser, whose rate rises for an epoch of so many steps and falls to the end; return the optimiser."""
    schedule = import_keras().optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps * (settings.epochs - 1)),  # one epoch is the warm-up and no more
        warmup_target=settings.learning_rate,
        warmup_steps=steps,
        alpha=1e-5,
    )
    optimizer = muon_with_ema(schedule, settings.weight_decay, settings.ema_decay)
    optimizer.build(model.trainable_variables)
    loss = partial_label_loss(settings.smoothing)
    model.compile(optimizer, distillation_loss(loss, settings.taught) if taught else loss)
    return optimizer


def steps_of(pictures: int, batch_size: int) -> int:
    """Return how many steps an epoch has: of many, a last one of less than a batch is left out, for which JAX would make a program of its own."""
    whole = pictures // batch_size
    return whole if whole >= _MANY_STEPS else -(-pictures // batch_size)


def _drawn(material: TrainingImages, settings: EdgeSettings, index: int) -> EpochImages:
    return epoch_data.draw_epoch(material, settings.mix_of(index), settings.seed, index)


def _scaled(images: NDArray[np.uint8]) -> Floats:
    scaled = images.astype(np.float32)
    scaled /= np.float32(255)  # in place: an epoch at 56x56 is a gigabyte
    return scaled


def probabilities(model: Any, images: NDArray[np.uint8]) -> Floats:  # noqa: ANN401
    """Return (N, classes) probabilities for (N, H, W, C) uint8 pictures."""
    return np.asarray(model.predict(_scaled(images), batch_size=500, verbose=0))


def accuracy(predicted: Floats, allowed: NDArray[np.bool_]) -> float:
    """Return the share of pictures with an allowed class whose likeliest class is allowed, in [0, 1]."""
    known = allowed.any(axis=1)
    return float(allowed[known, predicted[known].argmax(axis=1)].mean())
