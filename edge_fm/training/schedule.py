"""Fit the length of a training to the number of its pictures: a network learns by steps."""

from dataclasses import dataclass

MIN_STEPS = 1500
"""Steps of a training whose user chose no number of epochs."""

MIN_BATCH = 16

MIN_EPOCH_STEPS = 100
"""Steps of an epoch of the edge family; a smaller data set is repeated in it until there are so many."""

MIN_VALIDATION = 5
"""Validation pictures of the rarest class, below which nothing is held out and all steps are run."""


@dataclass(frozen=True)
class Schedule:
    """Length of a training.

    Attributes:
        epochs: number of passes over the pictures.
        batch_size: pictures per step.
        is_short: whether the default schedule had too few steps, so that this one has others.
    """

    epochs: int
    batch_size: int
    is_short: bool = False

    def steps(self, pictures: int) -> int:
        """Return the number of steps over so many pictures."""
        return self.epochs * -(-pictures // self.batch_size)


def fit(pictures: int, default: Schedule, *, keep_batch: bool = False) -> Schedule:
    """Return a schedule of at least `MIN_STEPS` steps, the default where it has as many.

    The batch is halved, down to `MIN_BATCH`, until the default number of epochs has enough steps; if that is
    not sufficient, there are more epochs.

    Args:
        pictures: pictures of one pass.
        default: schedule for a large data set.
        keep_batch: whether the batch size was chosen by the user.
    """
    if default.steps(pictures) >= MIN_STEPS:
        return default
    batch = default.batch_size
    while not keep_batch and batch // 2 >= MIN_BATCH and default.epochs * -(-pictures // batch) < MIN_STEPS:
        batch //= 2
    epochs = max(default.epochs, -(-MIN_STEPS // -(-pictures // batch)))
    return Schedule(epochs, batch, is_short=True)
