"""Commands about exported files: verify, inspect."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fm.cli import terminal

if TYPE_CHECKING:
    from edge_fm_exporters.graph.summary import GraphSummary
    from edge_fm_runtime.artifact.passport import Passport

ModelArgument = Annotated[
    str, typer.Argument(help="A bundled model's name or an .onnx file.", metavar="MODEL", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("verify")(verify)
    app.command("inspect")(inspect)


def verify(model: ModelArgument) -> None:
    """Replay a model's golden inputs on this device; exit code 1 if they differ.

    Example: edge-fm verify fashion.onnx
    """
    from edge_fm_runtime.classifier import Classifier
    from edge_fm_runtime.golden import replay

    results = replay(Classifier.load(model))
    rows = [
        [
            str(r.index + 1),
            r.expected_label,
            r.label,
            "-" if r.tensor_difference is None else str(r.tensor_difference),
            f"{r.probability_difference:.1e}",
            f"{r.stage} differs" if r.stage else "same",
        ]
        for r in results
    ]
    terminal.table(
        ["#", "exported", "here", "grey levels ", "probability ", "result"], rows, f"golden inputs of {model}"
    )
    different = [r for r in results if r.stage]
    if different:
        stages = ", ".join(sorted({r.stage for r in different}))
        terminal.note(f"{len(different)} of {len(results)} golden inputs differ here: {stages}")
        raise typer.Exit(terminal.BAD_ANSWER)
    terminal.say(f"all {len(results)} golden inputs are answered as where the model was exported")


def inspect(
    model: ModelArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the passport as JSON.")] = False,
) -> None:
    """Show what a model file says about itself, and its layers.

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
        terminal.say(json.dumps(found, indent=2, ensure_ascii=False))
        return
    terminal.table(["part", "says"], _passport_rows(passport, len(data)), f"passport of {model}")
    if summary is None:
        terminal.note("the layers need the onnx package: pip install 'edge-fm[train]'")
        return
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
    total = [
        f"{sum(getattr(layer, part) for layer in summary.layers):,}"
        for part in ("parameters", "multiply_adds", "size_bytes")
    ]
    rows.append(["all", f"{summary.nodes} nodes", "", "", *total])
    terminal.table(
        ["layer", "operator", "weights", "one picture", "parameters ", "multiply-adds ", "bytes "],
        rows,
        "graph, run for each picture and its mirror image" if summary.flip_ensemble else "graph",
    )


def _summary(data: bytes) -> "GraphSummary | None":
    import importlib.util

    if importlib.util.find_spec("onnx") is None:
        return None
    from edge_fm_exporters.graph.summary import summarise

    return summarise(data)


def _passport_rows(passport: "Passport", size_bytes: int) -> list[list[str]]:
    recipe, decision = passport.preprocess, passport.decision
    rows = [
        ["labels", ", ".join(passport.labels)],
        *([f"labels ({t.language})", ", ".join(t.labels)] for t in passport.translations),
        [
            "input",
            f"{' x '.join(map(str, passport.input.shape))} {passport.input.dtype} {passport.input.layout}",
        ],
        ["preprocess", ", ".join(f"{name} {value}" for name, value in asdict(recipe).items())],
        [
            "decision",
            f"temperature {decision.temperature:g}, unknown below {decision.unknown_below:g}, coverage {decision.coverage:.0%}, redecode margin {decision.reduced_decode_margin:g}, rounding margin {decision.rounding_margin:g}"
            + (", with known-class score" if decision.known_class_weights else "")
            + ("" if decision.calibrated else ", from votes: not calibrated"),
        ],
        [
            "precision",
            ", ".join([passport.precision.kind, *(f"{k} {v}" for k, v in passport.precision.settings)]),
        ],
    ]
    for evidence in passport.evidence:
        if evidence.accuracy is not None:
            rows.append(["accuracy", f"{evidence.accuracy:.4f} (source {evidence.source_accuracy:.4f})"])
        rows += [
            ["label agreement", f"{evidence.label_agreement:.2%}"],
            ["probabilities", f"differ by at most {evidence.max_probability_difference:.1e}"],
            ["measured on", f"{evidence.images:,} images of {evidence.data} ({evidence.split})"],
        ]
    provenance = passport.provenance
    return [
        *rows,
        ["golden inputs", str(len(passport.golden))],
        ["source", f"{provenance.source}, sha256 {provenance.source_sha256[:16]}"],
        ["data", f"{provenance.data}, {provenance.licence}"],
        [
            "made",
            f"{provenance.created} with {', '.join(f'{name} {version}' for name, version in provenance.tools)}",
        ],
        ["size", f"{size_bytes:,} bytes"],
    ]
