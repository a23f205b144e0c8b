"""Kill a labelling run at random moments, resume it, and compare with an undisturbed run.

    python benchmarks/kills.py [--kills 200] [--images 6000]

Every run is a real command, killed with SIGKILL. A series kills runs until one completes; series repeat until
the number of kills is reached.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_fm.datasets import wardrobe
from edge_fm_runtime.image.opencv import cv2


def main() -> None:
    """Run and print the counts; exit with code 1 if a run differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=6000)
    options = parser.parse_args()
    rng, dice = np.random.default_rng(0), random.Random(0)  # noqa: S311  # random moments, no secrets
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = work / "images"
        folder.mkdir()
        for index in range(options.images):
            data = cv2.imencode(".png", wardrobe.draw(index % 10, rng, 56) if index < 300 else _noise(rng))[
                1
            ].tobytes()
            (folder / f"{index:05}.png").write_bytes(data[: len(data) // 2] if index % 97 == 0 else data)
        command = [sys.executable, "-m", "edge_fm", "label", str(folder), "--top", "3", "-o"]
        started = time.perf_counter()
        subprocess.run([*command, str(work / "whole.csv")], check=False, capture_output=True)
        whole_s = time.perf_counter() - started
        whole = (work / "whole.csv").read_bytes()
        kills = series = different = 0
        while kills < options.kills:
            series += 1
            out = work / f"out-{series}.csv"
            while True:
                process = subprocess.Popen(
                    [*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                try:
                    process.wait(dice.uniform(0.05, whole_s / 2))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
                else:
                    break
            different += out.read_bytes() != whole
            with out.open(newline="", encoding="utf-8") as file:
                rows = [row["path"] for row in csv.DictReader(file)]
            different += len(rows) != options.images or len(set(rows)) != options.images
        leftovers = len(list(work.glob("*.partial")) + list(work.glob(".*.partial")))
    print(
        f"{kills} kills in {series} runs of {options.images:,} inputs: {different} runs differ, {leftovers} leftovers"
    )
    sys.exit(1 if different else 0)


def _noise(rng: np.random.Generator) -> "np.typing.NDArray[np.uint8]":
    return rng.integers(0, 256, (28, 28), np.uint8)


if __name__ == "__main__":
    main()
