"""Vary training images: transforms, drawn backgrounds, paper and handwriting."""
