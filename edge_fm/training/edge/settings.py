"""Settings of a training of the edge family, with their defaults."""

from dataclasses import dataclass, field, replace

from edge_fm.augmentation.transforms import Variation
from edge_fm.training import schedule
from edge_fm.training.edge.epoch_data import Mix, count_pictures
from edge_fm.training.schedule import Schedule

VALIDATION_SHARE = 1 / 12
"""Default fraction of the training part that is held out; 5,000 of 60,000."""


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of one training.

    Attributes:
        epochs: number of epochs, all of which are run.
        batch_size: images per step.
        learning_rate: peak learning rate, after a warm-up of one epoch.
        weight_decay: decoupled weight decay of the optimizer.
        label_smoothing: in [0, 1).
        ema_decay: decay per step of the exponential moving average of the weights, in [0, 1).
        strong_aug_off_fraction: fraction of the epochs, at the end, that run without erasing and elastic
            distortion and with less mixup, in [0, 1).
        late_mixup: factor on the mixup in those epochs, in [0, 1].
        distillation_weight: weight of the teacher's part of the loss, in [0, 1].
        validation_share: fraction of the training part that is held out for validation, in (0, 0.5].
        mix: composition of an epoch.
        bf16: whether steps run in bfloat16; see `edge.mixed_precision`.
        seed: seed of the weights and of every draw.
    """

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    strong_aug_off_fraction: float = 0.2
    late_mixup: float = 0.5
    distillation_weight: float = 0.9
    validation_share: float = VALIDATION_SHARE
    mix: Mix = field(default_factory=Mix)
    bf16: bool = False
    seed: int = 0

    def mix_of(self, index: int) -> Mix:
        """Return the composition of an epoch, by its index from 0."""
        if index < round(self.epochs * (1 - self.strong_aug_off_fraction)):
            return self.mix
        return replace(
            self.mix,
            mixup=self.mix.mixup * self.late_mixup,
            variation=replace(self.mix.variation, erase=0.0, elastic=0.0),
        )


def fitted(
    settings: EdgeSettings, chosen: frozenset[str], product_images: int, photographs: int = 0
) -> EdgeSettings:
    """Return settings whose epochs, batch size and repeats suit the number of pictures.

    Nothing changes where the epochs were chosen, or where the default ones have enough steps; see
    `schedule.fit`.

    Args:
        settings: how it is trained.
        chosen: keys that the user gave.
        product_images: training pictures of the data set, without its validation part.
        photographs: photographs with partial labels.
    """
    if "epochs" in chosen:
        return settings
    pictures = count_pictures(settings.mix, product_images, photographs)
    usual = Schedule(settings.epochs, settings.batch_size)
    found = schedule.fit(pictures, usual, keep_batch="batch_size" in chosen)
    if not found.is_short:
        return settings
    if "repeats" in chosen or photographs:
        return replace(settings, epochs=found.epochs, batch_size=found.batch_size)
    repeats = -(-schedule.MIN_EPOCH_STEPS * found.batch_size // pictures)
    mix = replace(settings.mix, repeats=repeats)
    steps = -(-count_pictures(mix, product_images) // found.batch_size)
    epochs = -(-schedule.MIN_STEPS // steps)
    return replace(settings, epochs=epochs, batch_size=found.batch_size, mix=mix)


_ON_PAPER = EdgeSettings(
    epochs=70,
    mix=Mix(
        scenes=0.25,
        drawn=0.25,
        empties=0.04,
        variation=Variation(flip=False, tilt=10, erase=0.1, elastic=0.8),
    ),
)

DEFAULTS = {"digits": _ON_PAPER, "digits-plus": replace(_ON_PAPER, epochs=30)}
"""Settings of the networks that read digits from paper; the others start from `EdgeSettings`."""
