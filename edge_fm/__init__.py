"""Command line, data sets, zoo, training, evaluation and deployment of edge-fm.

The runtime is `edge_fm_runtime`, the exporter `edge_fm_exporters`.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Import the version on first use: the command line has to handle interrupts before it imports more."""
    if name == "__version__":
        from edge_fm_runtime import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
