"""From encoded bytes or frames to the input tensor: guard, decode, preprocess."""
