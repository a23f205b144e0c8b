"""Classify a feed: cameras and files in, a window or lines of text out. `loop.run` is the way through."""
