"""Architectures by name, and the run folders of trained models."""
