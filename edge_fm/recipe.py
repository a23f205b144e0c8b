"""The training behind the bundled models: several data sets at once, cameras imitated, one cosine to the end.

Every epoch draws its pictures anew from (seed, epoch), so a training that was killed goes on from its last
whole epoch as if nothing had happened. There is no early stopping: the learning rate runs out. Validation is watched,
never chosen on, and the test part is not touched.

The weights that are kept are a running average over the last steps: less shaken by the last batches. In the
last epochs nothing is erased from pictures or bent any more: a small network then spends itself on whole ones (Ge et al., 2021,
arXiv:2107.08430, ends its strongest augmentation early in the same way).

Cosine: Loshchilov and Hutter, 2016, arXiv:1608.03983; label smoothing: Szegedy et al., 2015, arXiv:1512.00567; training
to be unsure of what is no class: Hendrycks et al., 2018, arXiv:1812.04606.
"""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm import ahead, checkpoint, edge, epoch, kept_pictures, runs
from edge_fm.beginning import begin_with
from edge_fm.camera import Variation
from edge_fm.datasets import DIGITS, Dataset
from edge_fm.distillation import Teacher, taught_loss
from edge_fm.epoch import PAPER, ROOM, Floats, Material, Mix, Pictures
from edge_fm.losses import possible_class_loss
from edge_fm.mixture import Photographs
from edge_fm.optimizer import averaging_muon
from edge_fm.runs import Run
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.posix import usable_cores

VALIDATION_SHARE = 1 / 12
"""Of the data set's training part; 5,000 of 60,000."""

_MANY_STEPS = 20
"""Whose pictures are less than a twentieth more than those of as many whole batches."""

_SEEN = 1000
"""Pictures of each kind that stand for what a file to begin with has folded away."""


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: all of them are run.
        batch_size: pictures a step.
        learning_rate: at its highest, after a warm-up of one epoch.
        weight_decay: of the optimiser.
        smoothing: of labels, in [0, 1).
        averaging: how much of the average a step keeps, in [0, 1).
        calm: share of the epochs, at the end, in which nothing is erased from pictures or bent, in [0, 1).
        taught: share of the loss that is a teacher's, if there is one, in [0, 1].
        mix: what an epoch is made of.
        bf16: whether steps are computed in bfloat16; see `edge.mixed_precision`.
        seed: of weights and of every draw.
    """

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.05
    averaging: float = 0.998
    calm: float = 0.2
    taught: float = 0.9
    mix: Mix = field(default_factory=Mix)
    bf16: bool = False
    seed: int = 0

    def mix_of(self, index: int) -> Mix:
        """Return what the epoch of an index from 0 is made of."""
        if index < round(self.epochs * (1 - self.calm)):
            return self.mix
        return replace(self.mix, blended=0.0, variation=replace(self.mix.variation, erase=0.0, elastic=0.0))


_ON_PAPER = Settings(
    epochs=70,
    mix=Mix(
        scenes=0.25,
        drawn=0.25,
        empties=0.04,
        variation=Variation(flip=False, tilt=10, erase=0.1, elastic=0.8),
    ),
)

USUAL = {"digits": _ON_PAPER, "digits-plus": replace(_ON_PAPER, epochs=30)}
"""Settings of those that read digits from paper; the others have those of `Settings`."""


@dataclass(frozen=True)
class Sources:
    """Where the pictures come from, as the user named them.

    Attributes:
        data: the data set in the model's own classes, and its name as given.
        photographs: (training, validation), if there are any.
        teacher: a model to learn from as well, if there is one.
        start: the run folder, exported file or bundled model whose weights are begun with; None begins with drawn ones.
        answers: the file that the photographs' answers are from, if they have any.
    """

    data: Dataset
    photographs: tuple[Photographs, Photographs] | None
    teacher: Teacher | None = None
    start: Path | None = None
    answers: Path | None = None


Listener = Callable[[int, float, dict[str, float] | None], None]
"""Called with (epoch from 1, share of it done, its figures once it is done)."""


def train_run(
    name: str, sources: Sources, data: str, folder: Path, settings: Settings, listener: Listener
) -> Run:
    """Train a member of the `edge` family into a run folder; a folder with a training that was killed is gone on with.

    Args:
        name: of `edge.WIDTHS`.
        sources: of pictures.
        data: how the user named the data set.
        folder: made if it is not there.
        settings: how.
        listener: told of progress.

    Raises:
        OutputError: the folder cannot be written.
        DataError: the folder holds the state of another training, the data has other classes than the digits, or `start` is
            this folder, no run, or a run or file of another network.
        ModelError: `start` is a file that is missing or refused.
    """
    if name in USUAL and sources.data.class_names != DIGITS:
        raise DataError(
            f"{name} reads the digits 0 to 9, and {data} has {', '.join(sources.data.class_names)}: "
            "give --data mnist, or train edge"
        )
    keras = import_keras()
    started_s = time.monotonic()
    keras.utils.set_random_seed(settings.seed)
    dataset, photographs = sources.data, sources.photographs
    training, validation = dataset.split_validation(VALIDATION_SHARE, settings.seed)
    classes = len(dataset.class_names)
    with edge.mixed_precision() if settings.bf16 else nullcontext():
        model = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    average = edge.build(edge.WIDTHS[name], dataset.spec, classes, name)
    if sources.start is not None:
        seen = [training.sample(_SEEN, settings.seed).images]
        if photographs is not None:
            seen.append(photographs[0].tensors[:: max(1, len(photographs[0].tensors) // _SEEN)])
        begin_with(model, sources.start, folder, dataset.class_names, np.concatenate(seen))
    runs.begin(folder)  # after all that can be refused: an earlier run's record goes with it
    eye = np.eye(classes, dtype=bool)
    watched = {dataset.name: (validation.images, eye[validation.labels])}
    if photographs is not None and photographs[1].allowed.any():
        watched["photographs"] = (photographs[1].tensors, photographs[1].allowed)
    scenery = PAPER if name in USUAL else ROOM
    if scenery.drawn is not None:
        watched["paper"] = epoch.as_seen(validation, classes, scenery, settings.mix.variation, settings.seed)
    material = Material(training, photographs[0] if photographs else None, watched, classes, scenery)
    history = train(model, average, material, folder, settings, listener, sources.teacher)
    kept_pictures.keep_calibration(folder / runs.CALIBRATION, material, settings.mix, settings.seed)
    kept_pictures.keep_validation(folder / runs.VALIDATION, material, settings.seed)
    kept_pictures.keep_lesson(
        folder / runs.LESSON, material, settings.mix_of(settings.epochs), settings.seed, settings.epochs
    )
    average.save(folder / runs.MODEL)
    test = probabilities(average, dataset.test.images)
    run = Run(
        architecture=name,
        data=data,
        class_names=dataset.class_names,
        scale="unit",
        model=runs.MODEL,
        options={},
        settings=asdict(settings)
        | {
            "validation_share": VALIDATION_SHARE,
            "teacher": sources.teacher.name if sources.teacher else None,
            "start": str(sources.start) if sources.start else None,
            "answers": str(sources.answers) if sources.answers else None,
        },
        epochs=len(history),
        best_epoch=len(history),
        scores={
            "validation": {"accuracy": history[-1][dataset.name]},
            "test": {"accuracy": accuracy(test, eye[dataset.test.labels])},
        },
        seconds=round(time.monotonic() - started_s, 1),
        interrupted=False,
        licence=dataset.licence,
        tools=runs.keras_tools(),
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        input_shape=dataset.spec.shape,
    )
    run.save(folder)
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    return run


def train(
    model: Any,  # noqa: ANN401  # Keras ships no types
    average: Any,  # noqa: ANN401
    material: Material,
    folder: Path,
    settings: Settings,
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
    keras = import_keras()
    steps = steps_of(material.count(settings.mix), settings.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps * (settings.epochs - 1)),  # one epoch is the warm-up and no more
        warmup_target=settings.learning_rate,
        warmup_steps=steps,
        alpha=1e-5,
    )

    optimizer = averaging_muon(schedule, settings.weight_decay, settings.averaging)
    optimizer.build(model.trainable_variables)
    loss = possible_class_loss(settings.smoothing)
    model.compile(optimizer, taught_loss(loss, settings.taught) if teacher else loss)
    facts = asdict(settings) | {"teacher": teacher.sha256 if teacher else None, "optimizer": "muon"}
    whose = checkpoint.fingerprint(model, material, facts)
    history = checkpoint.restore(model, folder / checkpoint.FILE, whose)

    class Told(keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
            listener(len(history) + 1, (batch + 1) / steps, None)

    def catch_up() -> None:
        average.set_weights(model.get_weights())
        optimizer.average_into(average.trainable_variables)

    if history:
        catch_up()

    epochs = range(len(history), settings.epochs)
    draw = partial(_drawn, replace(material, watched={}), settings)
    with ahead.drawn_by(ahead.processes_for(usable_cores()), draw, epochs) as drawn_of:

        def lesson(index: int) -> tuple[Floats, Floats]:
            drawn = drawn_of(index)
            targets = teacher.targets(drawn) if teacher else drawn.allowed
            taken = steps * settings.batch_size  # all, or all but a part of a batch
            return _scaled(drawn.images[:taken]), targets[:taken]

        for images, targets in ahead.drawn_ahead(lesson, epochs):
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


def steps_of(pictures: int, batch_size: int) -> int:
    """Return how many steps an epoch has: of many, a last one of less than a batch is left out, for which JAX would make a program of its own."""
    whole = pictures // batch_size
    return whole if whole >= _MANY_STEPS else -(-pictures // batch_size)


def _drawn(material: Material, settings: Settings, index: int) -> Pictures:
    return epoch.pictures(material, settings.mix_of(index), settings.seed, index)


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
