"""Export Keras and scikit-learn models to one self-describing ONNX file, verified against its source.

Importing this package loads no framework; the first export does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fm_exporters.pipeline import export
    from edge_fm_exporters.request import ExportData, ExportRequest, ExportResult

__all__ = ["ExportData", "ExportRequest", "ExportResult", "export"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the module holds
    """Import the pipeline when it is first asked for."""
    if name in __all__:
        from importlib import import_module

        home = "pipeline" if name == "export" else "request"
        return getattr(import_module(f"edge_fm_exporters.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
