"""Train a model into a run folder. `train.train` is the way through for the zoo, `edge.train` for the edge family."""
