"""The command line. Commands parse, call and print; errors of the family end here, with exit code 2."""

from edge_fm.cli.app import app, main

__all__ = ["app", "main"]
