"""Turn encoded bytes and camera frames into input tensors: guard, decode, preprocess."""
