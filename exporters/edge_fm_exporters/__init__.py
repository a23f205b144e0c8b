"""From Keras to one self-describing `.onnx` file: convert, clean, quantise, verify, stamp.

`pipeline.export` is the pipeline, read top to bottom. Needs the `train` extra.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fm_exporters.pipeline import ExportData, ExportRequest, ExportResult, export

__all__ = ["ExportData", "ExportRequest", "ExportResult", "export"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the module holds
    """Import the pipeline when it is first asked for."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("edge_fm_exporters.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
