"""Measure labelling on a cluster: throughput against a local run, memory, unit costs, and kills.

    python benchmarks/scale.py speed [--images 24000] [--rounds 5]
    python benchmarks/scale.py memory [--sizes 100000 1000000 10000000]
    python benchmarks/scale.py costs
    python benchmarks/scale.py kills [--images 20000] [--kills 50] [--drivers 10]

All runs are whole processes of the command line, on Ray clusters that this script starts on this machine.
Contestants take turns. `speed` excludes start-up: the time of a local run is the difference of two sizes, and
that of a Ray run is the time between its parts. `kills` starts a cluster of three nodes (raylets as
processes) and kills worker processes, Ray's workers, whole nodes and the driver at random moments.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from label import peak_kb
from scale_cluster import COMMAND, cluster, linked, run, running
from scale_havoc import kills

from edge_fm_runtime.cluster import manifest


def speed(images: int, rounds: int) -> None:
    """Print throughput of a local run and of Ray with one and two workers, and compare the output."""
    sizes = (images // 3, images)
    with tempfile.TemporaryDirectory() as name, cluster(2) as (address, _):
        work = Path(name)
        folders = [linked(work, size) for size in sizes]

        def local() -> float:
            small, large = (
                run("label", folder, "-o", work / f"{i}.csv", "--workers", 2, "--fresh")
                for i, folder in enumerate(folders)
            )
            return (sizes[1] - sizes[0]) / (large - small)

        def on_ray(workers: int) -> float:
            out = work / f"ray-{workers}"
            engine = ("--engine", "ray", "--address", address, "--shard-size", images // 24, "--fresh")
            run("label", folders[1], "-o", out, "--workers", workers, *engine)
            ends = sorted(part.stat().st_mtime for part in out.glob("part-*"))
            # Count from the moment when every worker has finished its first shard.
            return (len(ends) - workers) * (images // 24) / (ends[-1] - ends[workers - 1])

        contestants: dict[str, Callable[[], float]] = {
            "local, two workers": local,
            "Ray, two workers": lambda: on_ray(2),
            "Ray, one worker": lambda: on_ray(1),
        }
        rates: dict[str, list[float]] = {who: [] for who in contestants}
        for round_ in range(rounds + 1):
            for who, label in contestants.items():
                rate = label()
                if round_:  # the first round warms the disk cache
                    rates[who].append(rate)
        for who, found in rates.items():
            print(
                f"{who:20s} median {statistics.median(found):8,.0f} images/s  min {min(found):8,.0f}  max {max(found):8,.0f}"
            )

        def ratio(a: str, b: str) -> float:
            return statistics.median(x / y for x, y in zip(rates[a], rates[b], strict=True))

        print(
            f"Ray is at {ratio('Ray, two workers', 'local, two workers'):.3f} of the local run (median of pairs)"
        )
        print(
            f"two workers are {ratio('Ray, two workers', 'Ray, one worker'):.3f} times one (median of pairs)"
        )
        run("merge", work / "ray-2", "-o", work / "merged.csv")
        same = (work / "merged.csv").read_bytes() == (work / "1.csv").read_bytes()
        print(f"{sizes[1]:,} merged rows {'have' if same else 'DO NOT have'} the bytes of the local run")


def memory(sizes: list[int]) -> None:
    """Print the driver's peak memory for lists of names; above a million, the files do not exist."""
    with tempfile.TemporaryDirectory() as name, cluster(2) as (address, _):
        work = Path(name)
        for size in sizes:
            names = work / f"{size}.txt"
            with names.open("w") as file:
                if size <= 1_000_000:
                    folder = linked(work, size, "png")
                    file.writelines(f"{path}\n" for path in sorted(folder.rglob("0*.png")))
                else:
                    file.writelines(f"{work}/gone/{index:08}.png\n" for index in range(size))
            started = time.perf_counter()
            made = work / f"{size}.parquet"
            lister = subprocess.Popen(
                [*COMMAND, "manifest", str(names), "-o", str(made)], stdout=subprocess.DEVNULL
            )
            listing_kb = watch(lister)
            listed_s = time.perf_counter() - started
            command = ["label", made, "-o", work / f"out-{size}", "--engine", "ray", "--address", address]
            driver = subprocess.Popen(
                [*COMMAND, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            labelling_kb = watch(driver)
            seconds = time.perf_counter() - started - listed_s
            print(
                f"{size:>10,} inputs: manifest {listing_kb / 1000:.0f} MB in {listed_s:.0f} s, {made.stat().st_size / 1e6:.1f} MB; "
                f"driver {labelling_kb / 1000:.0f} MB in {seconds:.0f} s; exit code {driver.returncode}",
                flush=True,
            )


def watch(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process; return its peak memory in kB."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_kb(process.pid))
        time.sleep(0.05)
    return peak


def costs() -> None:
    """Print the cost of an input to list, label and store, and the memory of a worker."""
    with tempfile.TemporaryDirectory() as name, cluster(2) as (address, _):
        work = Path(name)
        names = work / "names.txt"
        count = 1_000_000
        names.write_text(
            "".join(f"s3://bucket/photos/{index // 1000:06}/{index:09}.jpg\n" for index in range(count))
        )
        made = work / "list.parquet"
        seconds = run("manifest", names, "-o", made)
        print(
            f"to list: {seconds / count * 1e6:.1f} core-seconds a million names, {made.stat().st_size / count:.1f} bytes each"
        )
        listed = manifest.find(str(made))
        if listed is not None:
            started = time.perf_counter()
            manifest.read(listed, 500_000, 510_000)
            print(f"to read a shard's 10,000 names: {time.perf_counter() - started:.3f} s")
        for kind, images in (("jpeg", 24_000), ("png", 96_000)):
            out, shard = work / f"out-{kind}", images // 24
            command = [
                *COMMAND,
                "label",
                str(linked(work, images, kind)),
                "-o",
                str(out),
                "--shard-size",
                str(shard),
            ]
            driver = subprocess.Popen(
                [*command, "--engine", "ray", "--address", address], stdout=subprocess.DEVNULL
            )
            peaks: Counter[str] = Counter()
            while driver.poll() is None:
                for who in ("ray::MapWorker", "edge_fm_runtime.batch.workers.fork_server"):
                    peaks[who] = max(peaks[who], *map(peak_kb, running(who)), 0)
                time.sleep(2)  # scanning all processes takes time
            ends = sorted(part.stat().st_mtime for part in out.glob("part-*"))
            seconds = 2 * (ends[-1] - ends[1]) / ((len(ends) - 2) * shard)
            parts = sum(path.stat().st_size for path in out.glob("part-*"))
            print(
                f"{kind}: {seconds * 1e6 / 3600:.3f} core-hours a million, {parts / images:.1f} bytes a row of a part, "
                + ", ".join(f"{who} {kb / 1000:.0f} MB" for who, kb in peaks.items())
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "memory", "costs", "kills"])
    parser.add_argument("--images", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--drivers", type=int, default=10)
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if options.what == "speed":
        speed(options.images or 24_000, options.rounds)
    elif options.what == "memory":
        memory(options.sizes)
    elif options.what == "costs":
        costs()
    else:
        kills(options.images or 20_000, options.kills, options.drivers)


if __name__ == "__main__":
    main()
