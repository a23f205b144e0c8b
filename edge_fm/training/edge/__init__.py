"""The training loop of the `edge` family: `train.train_run` is the way through."""
