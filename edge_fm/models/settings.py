"""How long and how a zoo model trains, and the options that it lets a user vary."""

from dataclasses import dataclass

Options = dict[str, float]
"""What a model lets one vary, by name: `dropout`, `max_iter`."""


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to train.

    Attributes:
        epochs: at most this many passes over the training part.
        batch_size: pictures a step; scikit-learn's models have none.
        patience: epochs without a better validation loss before it stops; the best epoch's weights are kept. None runs
            all epochs and keeps the last.
        validation_share: of the training part, in [0, 1); 0 trains on all of it and needs patience None.
        seed: of weights, order and split.
        folds: of a cross-validation before the training; 0 for none.
        balance: whether rare classes weigh more, as much as they are rarer.
    """

    epochs: int = 30
    batch_size: int = 64
    patience: int | None = 4
    validation_share: float = 0.1
    seed: int = 0
    folds: int = 0
    balance: bool = True
