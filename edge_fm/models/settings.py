"""Training settings and options of a zoo model."""

from dataclasses import dataclass

Options = dict[str, float]
"""Numeric options of a model by name, such as `dropout` or `max_iter`."""


@dataclass(frozen=True)
class TrainSettings:
    """Training settings of a zoo model.

    Attributes:
        epochs: largest number of passes over the training part.
        batch_size: images per step; models of scikit-learn have none.
        learning_rate: first learning rate of Adam; models of scikit-learn have none.
        patience: epochs without a better validation loss after which training stops; the best epoch's weights
            are kept. None runs all epochs and keeps the last.
        validation_share: fraction of the training part to validate on, in [0, 1); 0 needs patience None.
        seed: seed of weights, order and split.
        folds: folds of a cross-validation before the training; 0 for none.
        balance: whether rare classes weigh more, in proportion to how rare they are.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = 4
    validation_share: float = 0.1
    seed: int = 0
    folds: int = 0
    balance: bool = True
