"""How the recipe trains, unless the user says otherwise."""

from dataclasses import dataclass, field, replace

from edge_fm.augmentation.transforms import Variation
from edge_fm.training.edge.epoch_data import Mix

VALIDATION_SHARE = 1 / 12
"""Of the data set's training part; 5,000 of 60,000."""


@dataclass(frozen=True)
class EdgeSettings:
    """How to train.

    Attributes:
        epochs: all of them are run.
        batch_size: pictures a step.
        learning_rate: at its highest, after a warm-up of one epoch.
        weight_decay: of the optimiser.
        smoothing: of labels, in [0, 1).
        ema_decay: share of the weights' exponential moving average that a step keeps, in [0, 1).
        calm: share of the epochs, at the end, in which nothing is erased from pictures or bent, and half as many are blended, in [0, 1).
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
    ema_decay: float = 0.998
    calm: float = 0.2
    taught: float = 0.9
    mix: Mix = field(default_factory=Mix)
    bf16: bool = False
    seed: int = 0

    def mix_of(self, index: int) -> Mix:
        """Return what the epoch of an index from 0 is made of."""
        if index < round(self.epochs * (1 - self.calm)):
            return self.mix
        return replace(
            self.mix,
            blended=self.mix.blended / 2,
            variation=replace(self.mix.variation, erase=0.0, elastic=0.0),
        )


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
"""Settings of those that read digits from paper; the others have those of `Settings`."""
