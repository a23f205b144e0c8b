"""Train models into run folders: `train.train` for the zoo, `edge.train` for the edge family."""
