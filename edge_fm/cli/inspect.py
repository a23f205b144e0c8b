"""The command that shows a model file's passport and layers: inspect."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm_exporters.graph.summary import GraphSummary
    from edge_fm_runtime.artifact.passport import Decision, Evidence, Passport, Provenance

_LAYER_COLUMNS = ["layer", "operator", "weights", "one image", "parameters ", "multiply-adds ", "bytes "]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect", rich_help_panel=options.PROVE)(inspect)


def inspect(model: options.ModelArgument, as_json: options.AsJson = False) -> None:
    """Show a model file's passport and its layers.

    The passport holds labels, preprocessing, decision, precision, evidence and provenance.

    Example: edge-fm inspect fashion
    """
    from edge_fm_runtime.artifact.model_file import read_model, read_passport
    from edge_fm_runtime.errors import ModelError

    data = read_model(model)
    passport = read_passport(data)
    if passport is None:
        raise ModelError(f"{model} has no passport: export it from its source with 'edge-fm export'")
    summary = _summary(data)
    if as_json:
        found = {"size_bytes": len(data), **json.loads(passport.to_json())}
        if summary is not None:
            found["graph"] = asdict(summary)
        terminal.print_document(json.dumps(found, indent=2, ensure_ascii=False))
        return
    terminal.print_table(["part", "value"], _passport_rows(passport, len(data)), f"passport of {model}")
    if summary is None:
        terminal.print_note("the layers need the onnx package: pip install 'edge-fm[train]'")
        return
    title = "graph, run for each image and its mirror image" if summary.flip_ensemble else "graph"
    terminal.print_table(_LAYER_COLUMNS, _layer_rows(summary), title)


def _summary(data: bytes) -> "GraphSummary | None":
    """Return the summary of a file's graph, or None where the onnx package is missing."""
    import importlib.util

    if importlib.util.find_spec("onnx") is None:
        return None
    from edge_fm_exporters.graph.summary import summarise

    return summarise(data)


def _layer_rows(summary: "GraphSummary") -> list[list[str]]:
    rows = [
        [
            layer.name,
            layer.operator,
            layer.arithmetic,
            " x ".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
            f"{layer.size_bytes:,}" if layer.size_bytes else "",
        ]
        for layer in summary.layers
    ]
    totals = [
        f"{sum(getattr(layer, part) for layer in summary.layers):,}"
        for part in ("parameters", "multiply_adds", "size_bytes")
    ]
    return [*rows, ["all", f"{summary.nodes} nodes", "", "", *totals]]


def _passport_rows(passport: "Passport", size_bytes: int) -> list[list[str]]:
    preprocess = asdict(passport.preprocess)
    shape = " x ".join(map(str, passport.input.shape))
    precision = [passport.precision.kind, *(f"{name} {value}" for name, value in passport.precision.settings)]
    return [
        ["labels", ", ".join(passport.labels)],
        *([f"labels ({other.language})", ", ".join(other.labels)] for other in passport.translations),
        ["input", f"{shape} {passport.input.dtype} {passport.input.layout}"],
        ["preprocess", ", ".join(f"{name} {value}" for name, value in preprocess.items())],
        ["decision", _format_decision(passport.decision)],
        ["precision", ", ".join(precision)],
        *(row for evidence in passport.evidence for row in _evidence_rows(evidence)),
        ["golden inputs", str(len(passport.golden))],
        *_provenance_rows(passport.provenance),
        ["size", f"{size_bytes:,} bytes"],
    ]


def _format_decision(decision: "Decision") -> str:
    parts = [
        f"temperature {decision.temperature:g}",
        f"unknown below {decision.unknown_below:g}",
        f"coverage {decision.coverage:.0%}",
        f"redecode margin {decision.reduced_decode_margin:g}",
        f"rounding margin {decision.rounding_margin:g}",
    ]
    if decision.known_class_weights:
        parts.append("with known-class score")
    if not decision.calibrated:
        parts.append("from votes: not calibrated")
    return ", ".join(parts)


def _evidence_rows(evidence: "Evidence") -> list[list[str]]:
    rows = [
        ["label agreement", f"{evidence.label_agreement:.2%}"],
        ["probabilities", f"differ by at most {evidence.max_probability_difference:.1e}"],
        ["measured on", f"{evidence.images:,} images of {evidence.data} ({evidence.split})"],
    ]
    if evidence.accuracy is not None:
        rows.insert(0, ["accuracy", f"{evidence.accuracy:.4f} (source {evidence.source_accuracy:.4f})"])
    return rows


def _provenance_rows(provenance: "Provenance") -> list[list[str]]:
    tools = ", ".join(f"{name} {version}" for name, version in provenance.tools)
    return [
        ["source", f"{provenance.source}, sha256 {provenance.source_sha256[:16]}"],
        ["data", f"{provenance.data}, {provenance.licence}"],
        ["made", f"{provenance.created} with {tools}"],
    ]
