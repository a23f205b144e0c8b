"""Architectures by name, and the run folders that hold trained ones."""
