"""Scales of the pixels in training, and a search for an unknown one."""
