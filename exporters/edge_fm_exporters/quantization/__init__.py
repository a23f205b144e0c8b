"""Quantise a float32 graph to int8. `search.search` is the way through."""
