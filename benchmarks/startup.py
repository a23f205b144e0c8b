"""Time the command line as a whole process: help, and labelling one image.

    python benchmarks/startup.py [--runs 7]

The two commands and a bare interpreter take turns, so that noise affects them equally; medians are printed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import as_installed

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "wardrobe" / "bag_1.png"


def seconds(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    as_installed.compile_modules()
    script = str(Path(sys.executable).with_name("edge-fm"))
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "edge-fm --help": [script, "--help"],
            "edge-fm label one.png": [script, "label", str(SAMPLE), "--fresh", "-o", f"{folder}/labels.csv"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for run in range(runs + 1):
            for name, command in commands.items():
                taken = seconds(command)
                if run:  # the first round warms the disk cache
                    times[name].append(taken)
    for name, values in times.items():
        print(
            f"{name:22s} median {statistics.median(values):.3f} s   min {min(values):.3f}   max {max(values):.3f}   of {runs}"
        )


if __name__ == "__main__":
    main()
