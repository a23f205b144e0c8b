"""Command line, data sets, zoo, training, evaluation and deployment of edge-fm.

The runtime is `edge_fm_runtime`, the exporter `edge_fm_exporters`.
"""

from edge_fm_runtime import __version__

__all__ = ["__version__"]
