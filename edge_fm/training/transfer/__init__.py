"""Transfer learning: a pretrained backbone computes features, and a linear head is fitted to them."""
