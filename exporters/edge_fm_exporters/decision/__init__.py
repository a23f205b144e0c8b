"""Fit what turns probabilities into a decision: temperature, thresholds, margins."""
