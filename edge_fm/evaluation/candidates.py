"""Report the candidates of an export: a table, and files beside the model."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from edge_fm_exporters import ExportResult, parity
from edge_fm_exporters.quantization.search import Candidate
from edge_fm_runtime.batch.outputs.atomic import atomic

COLUMNS = (
    *(
        "candidate",
        "kB ",
        "accuracy ",
        "drop (95 %) ",
        "worst class (95 %)",
        "same label ",
        "us ",
        "speed-up ",
    ),
    "verdict",
)


def rows(result: ExportResult) -> list[list[str]]:
    """Return a row for each file that was tried."""
    chosen = result.passport.precision.settings
    return [_row(candidate, result, chosen) for candidate in result.candidates]


def _row(candidate: Candidate, result: ExportResult, chosen: tuple[tuple[str, str], ...]) -> list[str]:
    used = (candidate.recipe.settings if candidate.recipe is not None else ()) == chosen
    verdict = "chosen" if used else candidate.verdict or "passes"
    worst = "-"
    if candidate.worst_class is not None:
        lost = parity.describe_loss(candidate.worst_class.drop, candidate.worst_class.interval)
        worst = f"{result.passport.labels[candidate.worst_class.index]} {lost}"
    return [
        candidate.name,
        f"{len(candidate.data) / 1000:,.0f}",
        "-" if candidate.accuracy is None else f"{candidate.accuracy:.4f}",
        parity.describe_loss(candidate.drop, candidate.drop_interval),
        worst,
        f"{candidate.label_agreement:.2%}",
        f"{candidate.latency_us:.0f}",
        f"{candidate.speedup:.2f}",
        verdict,
    ]


def write(model: Path, result: ExportResult) -> list[Path]:
    """Write the candidates' figures as JSON and the flipped test images as CSV, beside the model.

    Raises:
        OutputError: they cannot be written.
    """
    figures, flipped = model.with_suffix(".candidates.json"), model.with_suffix(".flips.csv")
    labels = result.passport.labels
    measured = [
        {name: value for name, value in asdict(candidate).items() if name != "data"}
        | {"size_bytes": len(candidate.data)}
        for candidate in result.candidates
    ]
    text = json.dumps({"chosen_on": result.selected_on, "candidates": measured}, indent=2, ensure_ascii=False)
    with atomic(figures) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    with atomic(flipped) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "true", "source", "source_probability", "file", "file_probability"])
        writer.writerows(
            [
                flip.index,
                "" if flip.true is None else labels[flip.true],
                labels[flip.source],
                f"{flip.source_probability:.4f}",
                labels[flip.own],
                f"{flip.own_probability:.4f}",
            ]
            for flip in result.flips
        )
    return [figures, flipped]
