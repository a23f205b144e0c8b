"""Time the labelling of folders against other tools, and count labels that reduced decoding changes.

    python benchmarks/label.py speed [--kind jpeg|large|png|mix] [--images N] [--photos DIR] [--rounds 5]
        [--model MODEL] [--against PEER]
    python benchmarks/label.py journal [--kind ...] [--images N] [--photos DIR] [--rounds 5]
    python benchmarks/label.py agreement --photos DIR [--model MODEL] [--kind large --images 400]
    python benchmarks/label.py memory

`speed` makes a folder, of photographs with `--photos`, enlarged for `large`. It runs every contestant as a
whole process on the same cores, in turn, `--rounds` times. Peers that are not installed (keras,
ai_edge_litert, openvino) are named and left out. All classify with the seed CNN (`label_peers.py`); `--model`
replaces the file of ours and of the cv2 loop. `--against "cv2 loop"` leaves out the other peers, which take
minutes on some folders. `journal` compares a run that writes a file with one that writes to standard output,
which has no journal.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import as_installed
import numpy as np
from label_folders import enlarge_photos, make_images
from label_peers import NEEDS, PEERS, SEED_CNN, edge_fm, make_models

from edge_fm.datasets import wardrobe
from edge_fm_runtime.artifact import model_file
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.image.opencv import cv2

IMAGES = {"jpeg": 6000, "large": 240, "png": 20_000, "mix": 6000}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Content of the folder to label.

    Attributes:
        kind: `jpeg`, `large`, `png` or `mix`.
        images: number of files.
        photos: folder of photographs to use; None draws images.
    """

    kind: str
    images: int
    photos: Path | None = None


def speed(workload: Workload, rounds: int, model: str | None, against: str | None) -> None:
    """Time every contestant, or the floor and one peer, in turn, and print medians and ratios."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder, files = _make_folder(work, workload)
        int8, lite, fp32 = make_models(work)
        if model is not None:
            int8.write_bytes(model_file.read_model(model))
        label = [edge_fm(), "label", str(folder), "--model", str(int8)]
        contestants = {"ours": [*label, "-o", f"{work}/ours.csv", "--fresh"]}
        for peer, code in PEERS.items():
            if against is not None and peer not in {"floor", against}:
                continue
            if peer in NEEDS and importlib.util.find_spec(NEEDS[peer]) is None:
                print(f"{peer} is not installed: left out")
                continue
            arguments = [
                str(folder),
                workload.kind,
                str(int8),
                f"{work}/{peer}.csv",
                str(SEED_CNN),
                str(lite),
                str(fp32),
            ]
            contestants[peer] = [sys.executable, "-c", code, *arguments]
        times = _race(contestants, rounds)
        medians = {peer: statistics.median(values) for peer, values in times.items()}
        _print_times(times, files)
        best = min((m, p) for p, m in medians.items() if p not in {"ours", "floor"})
        pairs = [f / o for f, o in zip(times["floor"], times["ours"], strict=True)]
        print(f"ours is {best[0] / medians['ours']:.2f} times the fastest of the others ({best[1]})")
        if "cv2 loop" in medians:
            print(f"ours is {medians['cv2 loop'] / medians['ours']:.2f} times the cv2 loop")
        print(f"ours is at {statistics.median(pairs):.3f} of the bare decode floor (median of pairs)")


def journal(workload: Workload, rounds: int) -> None:
    """Time a run with a journal against one without, in turn."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder, files = _make_folder(work, workload)
        label = [edge_fm(), "label", str(folder), "-o"]
        times = _race({"journal": [*label, f"{work}/ours.csv", "--fresh"], "none": [*label, "-"]}, rounds)
        _print_times(times, files)
        pairs = [kept / none - 1 for kept, none in zip(times["journal"], times["none"], strict=True)]
        print(f"the journal and the file cost {statistics.median(pairs):+.1%} (median of pairs)")


def _make_folder(work: Path, workload: Workload) -> tuple[Path, int]:
    """Make the folder of images; return its path and the number of files."""
    kind, images, photos = workload.kind, workload.images, workload.photos
    folder = work / "images"
    folder.mkdir()
    if photos is None:
        make_images(folder, kind, images)
    elif kind == "large":
        enlarge_photos(sorted(photos.rglob("*.jpg")), folder, images, max(1, images // 4))
    else:
        for index, path in enumerate(sorted(photos.rglob("*.jpg")) * (1 + images // 3000)):
            if index < images:
                shutil.copy(path, folder / f"{index:06}.jpg")
    sizes = [path.stat().st_size for path in folder.iterdir()]
    kilobytes = sum(sizes) / len(sizes) / 1000
    print(f"{len(sizes):,} files, {kilobytes:.1f} kB each ({kind}), {os.cpu_count()} cores")
    return folder, len(sizes)


def _race(contestants: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Run the commands in turn; return the seconds of each round after a warm-up round."""
    as_installed.compile_modules()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        for name, command in contestants.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if round_:
                times[name].append(time.perf_counter() - started)
    return times


def _print_times(times: dict[str, list[float]], files: int) -> None:
    for name, values in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(values)
        print(
            f"{name:10s} median {median:7.3f} s  min {min(values):7.3f}  max {max(values):7.3f}  "
            f"{files / median:8,.0f} images/s"
        )


def agreement(photos: Path, model: str | None, kind: str, images: int) -> None:
    """Count labels that reduced decoding changes, before and after redecoding."""
    if kind == "large":
        with tempfile.TemporaryDirectory() as name:
            enlarge_photos(sorted(photos.rglob("*.jpg")), Path(name), images, images)
            agreement(Path(name), model, "jpeg", images)
        return
    classifier = Classifier.load(model or "fashion")
    spec, recipe = classifier.passport.input, classifier.passport.preprocess
    reduced, full, redecoded = [], [], []
    for path in sorted(photos.rglob("*.jpg")):
        data = guard.read_file(path)
        reduced.append(preprocess.tensor_from_bytes(data, spec, recipe))
        full.append(preprocess.tensor_from_bytes(data, spec, recipe, full_scale=True))
        row = classifier.probabilities(reduced[-1][np.newaxis])[0]
        redecoded.append(classifier.redecode(data, row) is not None)
    first, expected = (
        classifier.probabilities(np.stack(tensors)).argmax(axis=1) for tensors in (reduced, full)
    )
    final = np.where(redecoded, expected, first)
    difference = np.abs(np.stack(reduced).astype(int) - np.stack(full))
    print(f"grey levels differ by {difference.mean():.2f} on average, {difference.max()} at most")
    print(
        f"{np.mean(first == expected):.4%} of {len(expected):,} labels are those of full-scale decoding before redecoding"
    )
    print(f"{np.mean(redecoded):.1%} are redecoded; then {np.mean(final == expected):.4%} are the same")


def memory() -> None:
    """Print the peak memory of a worker at 1,000 and 1,000,000 inputs (hard links of one image)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "picture.png"
        picture.write_bytes(cv2.imencode(".png", wardrobe.draw(0, np.random.default_rng(0)))[1].tobytes())
        first = picture
        for count in (1_000, 1_000_000):
            inputs = folder / str(count)
            for index in range(count):
                below = inputs / f"{index // 10_000:03}"
                if index % 10_000 == 0:  # file systems limit the hard links of a file
                    below.mkdir(parents=True)
                    shutil.copy(picture, below / f"{index:07}.png")
                    first = below / f"{index:07}.png"
                else:
                    os.link(first, below / f"{index:07}.png")
            command = [sys.executable, "-m", "edge_fm", "label", str(inputs), "-o", f"{folder}/{count}.csv"]
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            peaks: dict[str, int] = {}
            while process.poll() is None:
                time.sleep(0.05)
                for pid, who in [
                    (process.pid, "parent"),
                    *((p, f"worker {p}") for p in _descendants(process.pid)),
                ]:
                    peaks[who] = max(peaks.get(who, 0), peak_kb(pid))
            seconds = time.perf_counter() - started
            worker = max(kb for who, kb in peaks.items() if who != "parent")
            print(json.dumps({"inputs": count, "seconds": round(seconds, 1), "worker_mb": worker // 1000,
                              "parent_mb": peaks["parent"] // 1000}))  # fmt: skip


def _descendants(pid: int) -> list[int]:
    try:
        paths = list(Path(f"/proc/{pid}/task").glob("*/children"))
        own = [int(child) for path in paths for child in path.read_text().split()]
    except OSError:
        return []
    return [*own, *(below for child in own for below in _descendants(child))]


def peak_kb(pid: int) -> int:
    """Return the peak resident memory of a process in kB, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "journal", "agreement", "memory"])
    parser.add_argument("--kind", choices=["jpeg", "large", "png", "mix"], default="jpeg")
    parser.add_argument("--images", type=int, help=f"number of files; default: {IMAGES}")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model")
    parser.add_argument("--against", choices=[peer for peer in PEERS if peer != "floor"])
    options = parser.parse_args()
    images = options.images or IMAGES[options.kind]
    workload = Workload(kind=options.kind, images=images, photos=options.photos)
    if options.what == "speed":
        speed(workload, options.rounds, options.model, options.against)
    elif options.what == "journal":
        journal(workload, options.rounds)
    elif options.what == "memory":
        memory()
    else:
        agreement(options.photos, options.model, options.kind, images)


if __name__ == "__main__":
    main()
