"""Measure a trained classifier of any format, and report what was found."""
