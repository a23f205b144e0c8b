"""Train, export, verify and time every model of the zoo, and compare it with its source's figures.

python benchmarks/zoo.py WORK                     all models; writes docs/zoo.json and docs/zoo.md
python benchmarks/zoo.py WORK --only cnn mlp-128  some models; replaces their rows in docs/zoo.json
python benchmarks/zoo.py WORK --study dropout     five dropout rates: writes docs/study-dropout.md and .png
python benchmarks/zoo.py WORK --study patience    patience 3 and 5: writes docs/study-patience.md and .png

WORK stores the run folders and files; --resume reuses finished ones. Models train with three seeds where the
source shows the mean of several runs, else with one. The exit code is 1 if a figure is missed or a file
disagrees with its source model.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from edge_fm import datasets
from edge_fm.models import measurements, runs, zoo
from edge_fm.models.architecture import Architecture, Framework, Reference, Variant
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.classifier import Classifier

TABLE = Path(__file__).resolve().parent.parent / "docs" / "zoo.json"
SEEDS = 3
ROUNDS = 300
_STUDIES: dict[str, list[tuple[str, str, float]]] = {
    "dropout": [("cnn-strided", "dropout", value) for value in (0, 0.2, 0.25, 0.3, 0.5)],
    "patience": [
        (name, "patience", value) for name in ("mlp-128", "mlp-dropout", "cnn-strided") for value in (3, 5)
    ],
}


@dataclass(frozen=True)
class Training:
    """One training of a variant with a seed and a run folder."""

    architecture: Architecture
    variant: Variant
    seed: int
    folder: Path

    def command(self) -> list[str]:
        """Return the arguments of the command."""
        name, data = self.architecture.name, self.architecture.data
        line = ["train", data, "--model", name, "--set", f"seed={self.seed}"]
        for name, value in self.variant.options.items():
            line += ["--set", f"{name}={value:g}"]
        for name, value in self.variant.settings.items():
            setting = "validation" if name == "validation_share" else name
            line += ["--epochs", str(value)] if name == "epochs" else ["--set", f"{setting}={value or 0}"]
        return [*line, "-o", str(self.folder)]

    def run(self, resume: bool) -> runs.Run:
        """Train, or load a finished run if `resume` is set."""
        if not (resume and (self.folder / runs.RECORD).is_file()):
            shutil.rmtree(self.folder, ignore_errors=True)
            edge_fm(*self.command())
        run = runs.Run.load(self.folder)
        print(
            f"{self.folder.name}: {run.epochs} epochs, {run.seconds:.0f} s, {json.dumps(run.scores)}",
            flush=True,
        )
        return run


def edge_fm(*arguments: str, may_fail: bool = False) -> str:
    """Run the command line in a subprocess and return its output and error text."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_fm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode and not may_fail:
        sys.exit(f"edge-fm {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def trainings(work: Path, architecture: Architecture, variant: Variant, seeds: int) -> list[Training]:
    """Return the trainings of a variant, with its differing settings in the folder's name."""
    own = {**architecture.options, **asdict(architecture.settings)}
    varied = {**variant.options, **variant.settings}
    stem = "-".join(
        [architecture.name, *(f"{key}{value or 0:g}" for key, value in varied.items() if value != own[key])]
    )
    return [Training(architecture, variant, seed, work / f"{stem}-s{seed}") for seed in range(seeds)]


def default_training(work: Path, name: str) -> Training:
    """Return the training with default settings and the first seed, which is exported."""
    return trainings(work, zoo.find(name), Variant(), 1)[0]


def figure(reference: Reference, measured: list[runs.Run]) -> dict[str, Any]:
    """Return a source's figure with ours, and whether it is reached."""
    each = [run.scores[reference.part][reference.metric] for run in measured]
    ours = mean(each)
    reached = (
        ours <= reference.value + reference.slack
        if reference.metric == "loss"
        else ours >= reference.value - reference.slack
    )
    return {**asdict(reference), "measured": ours, "each": each, "reached": reached}


def exported(training: Training, run: runs.Run, resume: bool) -> dict[str, Any]:
    """Export and verify both precisions, and return the figures of their passports."""
    kept = training.folder / "exported.json"
    if resume and kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    found = {"source_accuracy": run.test_accuracy}
    for kind in ("fp32", "int8"):
        path = training.folder / f"{kind}.onnx"
        output = edge_fm(
            "export",
            str(training.folder),
            *(["--int8"] if kind == "int8" else []),
            "-o",
            str(path),
            may_fail=True,
        )
        edge_fm("verify", str(path))
        passport = Classifier.load(path).passport
        evidence = passport.evidence[0]
        found[kind] = {
            "precision": str(passport.precision.kind),
            "accuracy": evidence.accuracy,
            "label_agreement": evidence.label_agreement,
            "max_probability_difference": evidence.max_probability_difference,
            "images": evidence.images,
            "size_bytes": len(read_model(path)),
        }
        if passport.precision.kind != kind:
            found[kind]["refused"] = next(line for line in output.splitlines() if "int8 was not used" in line)
    kept.write_text(json.dumps(found))
    return found


def row(work: Path, name: str, resume: bool) -> dict[str, Any]:
    """Train, export and verify one model; return its row of the table."""
    architecture = zoo.find(name)
    figures: list[dict[str, Any]] = []
    for variant in architecture.variants:
        several = any(reference.runs > 1 for reference in variant.references)
        done = [one.run(resume) for one in trainings(work, architecture, variant, SEEDS if several else 1)]
        varied = {**variant.options, **variant.settings}
        figures += [{**figure(reference, done), "varied": varied} for reference in variant.references]
    training = default_training(work, name)
    run = runs.Run.load(training.folder)
    agrees = exported(training, run, resume)
    return {
        "name": name,
        "data": architecture.data,
        "layers": architecture.summary,
        "parameters": architecture.parameters,
        "framework": str(architecture.framework),
        "train_seconds": run.seconds,
        "scores": run.scores,
        "per_class": per_class(training, architecture) if name in {"ovr", "ovo"} else None,
        "figures": figures,
        **agrees,
    }


def per_class(training: Training, architecture: Architecture) -> list[dict[str, Any]]:
    """Return precision and recall of each class on the test part."""
    found = json.loads(edge_fm("evaluate", str(training.folder), "--data", architecture.data, "--json"))
    return [
        {"name": score["name"], "precision": score["precision"]["value"], "recall": score["recall"]["value"]}
        for score in found["classes"]
    ]


def latencies(work: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Return the median microseconds of one image; files take turns, so that noise affects all equally."""
    opened = {}
    for name in names:
        folder = default_training(work, name).folder
        images = datasets.load(zoo.find(name).data).test.images
        for kind in ("fp32", "int8"):
            opened[name, kind] = Classifier.load(folder / f"{kind}.onnx"), images
    times: dict[tuple[str, str], list[float]] = {key: [] for key in opened}
    for number in range(ROUNDS):
        for key, (classifier, images) in opened.items():
            picture = images[number : number + 1]
            for _ in range(2):  # the first call after another model's has cold caches
                started = time.perf_counter()
                classifier.raw_probabilities(picture)
                took = time.perf_counter() - started
            times[key].append(took * 1e6)
    return {name: {kind: round(median(times[name, kind]), 1) for kind in ("fp32", "int8")} for name in names}


def misses(entry: Mapping[str, Any]) -> list[str]:
    """Return a message for each figure that a row misses."""
    found = [
        f"{entry['name']}: {item['metric']} {item['measured']:.4f} ({item['part']}), to reach {item['value']}"
        for item in entry["figures"]
        if not item["reached"]
    ]
    for kind in ("fp32", "int8"):
        agreement = entry[kind]["label_agreement"]
        if entry[kind]["precision"] == "fp32" and agreement < 0.9999:
            found.append(f"{entry['name']}: {kind} file agrees with its source on {agreement:.2%}")
    return found


def processor() -> str:
    """Return the processor's name and the number of usable cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def build(work: Path, names: list[str], resume: bool) -> None:
    """Measure the models and write the table."""
    rows = {name: row(work, name, resume) for name in names}
    for name, took in latencies(work, names).items():
        for kind, microseconds in took.items():
            rows[name][kind]["latency_us"] = microseconds
    kept = (
        {entry["name"]: entry for entry in json.loads(TABLE.read_text())["rows"]} if TABLE.is_file() else {}
    )
    table = [({**kept, **rows})[name] for name in zoo.ARCHITECTURES if name in kept or name in rows]
    tools = Framework.KERAS.tools() | Framework.SKLEARN.tools()
    facts = {"measured": dt.datetime.now(dt.UTC).date().isoformat(), "processor": processor(), "tools": tools}
    TABLE.write_text(
        json.dumps({**facts, "rows": table}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    TABLE.with_suffix(".md").write_text(measurements.load().markdown(), encoding="utf-8")
    print(edge_fm("zoo"))
    missed = [line for name in names for line in misses(rows[name])]
    print(
        "\n".join(missed)
        if missed
        else f"all {len(names)} rows reach their figures and agree with their files"
    )
    sys.exit(1 if missed else 0)


def study(work: Path, which: str, resume: bool, seeds: int) -> None:
    """Run a study, and write its page and chart."""
    from matplotlib.figure import Figure

    from edge_fm.drawing import curves

    found: dict[tuple[str, float], list[runs.Run]] = {}
    for name, what, value in _STUDIES[which]:
        architecture = zoo.find(name)
        variant = Variant(options={what: value}) if what == "dropout" else Variant(settings={what: value})
        found[name, value] = [one.run(resume) for one in trainings(work, architecture, variant, seeds)]
    lines = [
        f"# {which.capitalize()}",
        "",
        *textwrap.wrap(
            f"`python benchmarks/zoo.py WORK --study {which} --seeds {seeds}`: Fashion-MNIST test accuracy, "
            f"{'one seed' if seeds == 1 else f'mean of {seeds} seeds'}, {processor()}, stopped on a tenth of the "
            "training set.",
            110,
            break_on_hyphens=False,
        ),
        "",
        f"| model | {which} | accuracy | loss | epochs |",
        "| --- | --: | --: | --: | --: |",
    ]
    for (name, value), done in found.items():
        accuracy = mean(run.test_accuracy for run in done)
        loss, epochs = mean(run.scores["test"]["loss"] for run in done), mean(run.epochs for run in done)
        lines.append(f"| `{name}` | {value:g} | {accuracy:.4f} | {loss:.4f} | {epochs:.0f} |")
    lines += ["", f"![accuracy against {which}](study-{which}.png)"]
    print("\n".join(lines))
    (TABLE.parent / f"study-{which}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    drawing = Figure(figsize=(8, 4.5), layout="constrained")
    axes = drawing.subplots()
    for name in dict.fromkeys(name for name, _ in found):
        values = [value for other, value in found if other == name]
        each = np.array([[run.test_accuracy for run in found[name, value]] for value in values])
        centre = each.mean(axis=1)
        spread = np.abs(np.stack([each.min(axis=1), each.max(axis=1)]) - centre)
        axes.errorbar(values, centre, yerr=spread, marker="o", capsize=4, label=name)
    axes.set(
        xlabel=which,
        ylabel="test accuracy",
        title=f"{which}: mean, lowest and highest of {seeds} seed{'s' if seeds > 1 else ''}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    curves.save(drawing, TABLE.parent / f"study-{which}.png")


def main() -> None:
    """Run the benchmark or a study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument(
        "--only", nargs="*", default=[a.name for a in zoo.ARCHITECTURES.values() if a.variants]
    )
    parser.add_argument("--study", choices=_STUDIES)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="number of seeds of a study")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    if arguments.study:
        study(arguments.work, arguments.study, arguments.resume, arguments.seeds)
    else:
        build(arguments.work, arguments.only, arguments.resume)


if __name__ == "__main__":
    main()
