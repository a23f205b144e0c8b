"""Optimize with Muon for convolutions and AdamW for all else, with an EMA of the weights.

A convolution's kernel is a matrix: of what each pixel and channel under it gives to each channel behind it.
AdamW steps each of its weights by itself, and what many weights agree on drowns the rest; Muon makes every
direction of the step equally long. From drawn weights the network is sooner where it ends.

Muon: Jordan et al., 2024, kellerjordan.github.io/posts/muon, which flattens kernels as here; the length of
its steps, so that AdamW's learning rate and weight decay fit: Liu et al., 2025, arXiv:2502.16982. AdamW:
Loshchilov and Hutter, 2017, arXiv:1711.05101. Average: Polyak and Juditsky, 1992. Its decay is warmed up, as
by `num_updates` of TensorFlow's `ExponentialMovingAverage`: a constant one keeps 0.998^120 = 79 % of the
random start in a training of 120 steps.
"""

from typing import Any

import numpy as np

from edge_fm_exporters.framework import import_keras

_EVERY_LAYER = ".*"

_SPANS = 9.0
"""Number of spans of the average in the steps so far; t / (9 + t) reaches 0.998 after 4,491 steps."""


def muon_with_ema(learning_rate: Any, weight_decay: float, ema_decay: float) -> Any:  # noqa: ANN401  # Keras ships no types
    """Return a Keras optimizer that keeps an EMA of the weights beside them.

    Args:
        learning_rate: a number or a Keras schedule, for both kinds of steps.
        weight_decay: of both; biases and what belongs to batch normalisation have none.
        ema_decay: how much of the average a step keeps at most, in [0, 1); see `warmed_up`.

    Returns:
        a `keras.optimizers.Optimizer` with a method more, `average_into(variables)`: it gives variables, in
        the order of those that the optimiser was built for, their average.
    """
    keras = import_keras()

    class AveragingMuon(keras.optimizers.Muon):  # type: ignore[name-defined,misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:  # noqa: ANN401
            """Step a variable; Keras's own Muon takes no kernels of more than two axes."""
            if not _mixes_channels(variable.shape):
                super().update_step(gradient, variable, learning_rate)
                return
            momentum = self.momentums[self._get_variable_index(variable)]
            self.assign(momentum, self.momentum * momentum + gradient)
            ahead = gradient + self.momentum * momentum
            matrix = keras.ops.reshape(ahead, (-1, variable.shape[-1]))
            step = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
            self.assign_sub(variable, learning_rate * keras.ops.reshape(step, variable.shape))

        def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:  # noqa: ANN401
            """Average the weights after a step; Keras's own average has the same decay from the first on."""
            steps = keras.ops.cast(self.iterations, "float32")
            decay = warmed_up(self.ema_momentum, steps)
            for variable, average in zip(
                trainable_variables, self._model_variables_moving_average, strict=True
            ):
                average.assign(decay * average + (1 - decay) * variable)

        def finalize_variable_values(self, var_list: object) -> None:
            """Keep the weights at the end of a `fit`, which is one epoch: the next goes on from them."""

        def average_into(self, variables: Any) -> None:  # noqa: ANN401
            super().finalize_variable_values(variables)
            for variable in variables:  # on JAX both share memory now, which a prediction gives away
                variable.assign(np.array(variable))

    optimizer = AveragingMuon(
        learning_rate,
        weight_decay=weight_decay,
        adam_weight_decay=weight_decay,
        exclude_layers=[_EVERY_LAYER],  # from Muon as Keras has it
        use_ema=True,
        ema_momentum=ema_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def warmed_up(decay: float, steps: Any) -> Any:  # noqa: ANN401  # a tensor
    """Return min(decay, t / (9 + t)) after t steps, so that the average spans the last ninth of them.

    The first step keeps nothing of what was there, so the average has no random start.

    Args:
        decay: the decay of long trainings, in [0, 1).
        steps: number of steps before this one, as a float32 tensor.
    """
    return import_keras().ops.minimum(decay, steps / (_SPANS + steps))


def _mixes_channels(shape: tuple[int, ...]) -> bool:
    """Return whether a variable is the kernel of a convolution that mixes several channels."""
    return len(shape) == 4 and min(shape[2:]) > 1  # noqa: PLR2004  # height, width, channels in, channels out
