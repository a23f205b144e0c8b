"""Run the epochs of a training: prefetch images, step, average the weights, validate, keep the state."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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
"""From this many whole batches on, a last partial batch is left out: it is less than a twentieth."""

_STEPS_PER_CALL = 8

KerasModel = Any
"""A `keras.Model`; Keras ships no types."""

Listener = Callable[[int, float, dict[str, float] | None], None]
"""Called with (epoch from 1, fraction of it done, its figures once it is done)."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Networks and images of one training.

    Attributes:
        model: Keras model with probabilities as output; it is trained in place.
        ema_model: model of the same shape that receives the moving average of the weights.
        images: what it is trained and validated on.
        teacher: model to distil from, if any.
    """

    model: KerasModel
    ema_model: KerasModel
    images: TrainingImages
    teacher: Teacher | None = None


def train(
    job: TrainingJob, settings: EdgeSettings, folder: Path, listener: Listener
) -> list[dict[str, float]]:
    """Train in place; keep the state of the last whole epoch in `folder`, and resume from one found there.

    Args:
        job: networks and images.
        settings: how it is trained.
        folder: existing folder for the state and the history.
        listener: called with progress.

    Returns:
        The figures of every epoch.

    Raises:
        DataError: the state in the folder is of another training.
    """
    model, ema_model, images, teacher = job.model, job.ema_model, job.images, job.teacher
    steps = steps_of(images.count(settings.mix), settings.batch_size)
    optimizer = _compile(model, steps, settings, distils=teacher is not None)
    facts = asdict(settings) | {"teacher": teacher.sha256 if teacher else None, "optimizer": "muon"}
    fingerprint = checkpoint.fingerprint(model, images, facts)
    history = checkpoint.restore(model, folder / checkpoint.FILE, fingerprint)

    class Progress(import_keras().callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
            listener(len(history) + 1, min(1.0, (batch + 1) / steps), None)  # the last call may be shorter

    def update_ema_model() -> None:
        ema_model.set_weights(model.get_weights())
        optimizer.average_into(ema_model.trainable_variables)

    if history:
        update_ema_model()

    epochs = range(len(history), settings.epochs)
    draw = partial(_drawn, replace(images, validation={}), settings)
    with prefetch.prefetch_in_processes(prefetch.processes_for(usable_cores()), draw, epochs) as drawn_of:

        def epoch_inputs(index: int) -> tuple[Floats, Floats]:
            drawn = drawn_of(index)
            targets = teacher.targets(drawn) if teacher else drawn.allowed
            taken = steps * settings.batch_size  # all, or all but a part of a batch
            return _scaled(drawn.images[:taken]), targets[:taken]

        for inputs, targets in prefetch.prefetch(epoch_inputs, epochs):
            fit = model.fit(
                inputs,
                targets,
                batch_size=settings.batch_size,
                shuffle=False,
                verbose=0,
                callbacks=[Progress()],
            )
            update_ema_model()
            figures = {"loss": float(fit.history["loss"][0])}
            for name, (validated, right) in images.validation.items():
                figures[name] = accuracy(probabilities(ema_model, validated), right)
            history.append(figures)
            checkpoint.save(model, folder / checkpoint.FILE, history, fingerprint)
            runs.write_history(folder / runs.HISTORY, history)
            listener(len(history), 1.0, figures)
    return history


def _compile(model: Any, steps: int, settings: EdgeSettings, *, distils: bool) -> Any:  # noqa: ANN401
    """Compile a model with a one-epoch warm-up and a cosine schedule; return its optimizer."""
    schedule = import_keras().optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps * (settings.epochs - 1)),  # one epoch is the warm-up and no more
        warmup_target=settings.learning_rate,
        warmup_steps=steps,
        alpha=1e-5,
    )
    optimizer = muon_with_ema(schedule, settings.weight_decay, settings.ema_decay)
    optimizer.build(model.trainable_variables)
    loss = partial_label_loss(settings.label_smoothing)
    # On a processor TensorFlow's own kernels are faster than XLA's, and several steps a call spare overhead.
    of_tensorflow = import_keras().backend.backend() == "tensorflow"
    model.compile(
        optimizer,
        distillation_loss(loss, settings.distillation_weight) if distils else loss,
        jit_compile=False if of_tensorflow else "auto",
        steps_per_execution=_STEPS_PER_CALL if of_tensorflow else 1,
    )
    return optimizer


def steps_of(pictures: int, batch_size: int) -> int:
    """Return how many steps an epoch has: a last partial batch is left out of many."""
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
