"""Train, export, verify and time every row of the zoo from nothing, and hold it to its source's figures.

python benchmarks/zoo.py WORK [--only NAME ...] [--seeds 3] [--resume]
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_fm import runs, zoo
from edge_fm.zoo import Architecture, Variant

_FLAGS = {
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "patience": "--patience",
    "validation_share": "--validation",
}


@dataclass(frozen=True)
class Training:
    """One training of one variant, into one folder."""

    architecture: Architecture
    variant: Variant
    seed: int
    folder: Path

    def command(self) -> list[str]:
        """Return what a user would type."""
        line = ["train", self.architecture.name, "--data", self.architecture.data, "--seed", str(self.seed)]
        for name, value in self.variant.options.items():
            line += ["--set", f"{name}={value:g}"]
        for name, value in self.variant.settings.items():
            line += [_FLAGS[name], str(value or 0)]
        return [*line, "-o", str(self.folder)]

    def run(self, resume: bool) -> runs.Run:
        """Train, unless it is done and may be taken as it is."""
        if not (resume and (self.folder / runs.RECORD).is_file()):
            shutil.rmtree(self.folder, ignore_errors=True)
            edge_fm(*self.command())
        return runs.Run.load(self.folder)


def edge_fm(*arguments: str) -> str:
    """Run the command line in a process of its own; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_fm", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"edge-fm {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def trainings(work: Path, names: list[str], seeds: int) -> Iterator[Training]:
    """Yield the trainings of every variant, all seeds of one after the other."""
    for name in names:
        architecture = zoo.find(name)
        for number, variant in enumerate(architecture.variants):
            for seed in range(seeds):
                yield Training(
                    architecture, variant, seed, work / f"{name}{f'-{number}' if number else ''}-s{seed}"
                )


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument(
        "--only", nargs="*", default=[a.name for a in zoo.ARCHITECTURES.values() if a.variants]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    for training in trainings(arguments.work, arguments.only, arguments.seeds):
        run = training.run(arguments.resume)
        print(training.folder.name, run.epochs, run.seconds, json.dumps(run.scores), flush=True)


if __name__ == "__main__":
    main()
