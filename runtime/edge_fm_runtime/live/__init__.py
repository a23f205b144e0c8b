"""Classify a feed: cameras and files in, windows, pages or text out. `loop.run` is the way through."""
