"""The people's side of edge-fm: command line, data sets, zoo, training, evaluation, reports.

The runner is `edge_fm_runtime`, the exporter `edge_fm_exporters`.
"""

from edge_fm_runtime import __version__

__all__ = ["__version__"]
