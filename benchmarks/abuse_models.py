"""Give crafted model files to every command that takes one, and count how the commands end.

`benchmarks/abuse.py` runs it.

Each run is a process of its own. It fails if it prints a traceback, ends with another code than 0, 1 or 2,
takes over 2 GB of memory, or takes more than ten seconds of processor time beyond what importing TensorFlow
takes where that is imported. The table counts runs by command; every failure is printed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import abuse_files
import abuse_sources
import numpy as np

from edge_fm_runtime.image.opencv import cv2

MEMORY_BYTES = 2 * 10**9
LIMIT_S = 10.0
TENSORFLOW_S = 25.0
"""Seconds of processor time that importing TensorFlow may add, on a slow machine."""

_PATIENCE = 6
"""Factor from processor time to the wall time after which a run counts as hanging."""

_ALLOWED_CODES = {0, 1, 2}
_LABELS = ",".join("abcdefghij")


@dataclass(frozen=True)
class Run:
    """A command line to try.

    Attributes:
        command: name of the command, for the table.
        arguments: of edge-fm.
        seconds: processor time that it may take.
    """

    command: str
    arguments: tuple[str, ...]
    seconds: float = LIMIT_S


@dataclass(frozen=True)
class Outcome:
    """End of a run.

    Attributes:
        run: what was run.
        code: exit code, negative for a signal.
        faults: what was wrong, of `traceback`, `exit code`, `hang`, `memory`.
        cpu_s: processor time of it and its children in seconds.
        peak_bytes: largest resident size of it and of its children.
        last: last line on standard error.
    """

    run: Run
    code: int
    faults: tuple[str, ...]
    cpu_s: float
    peak_bytes: int
    last: str


def model_runs(models: Sequence[Path], pictures: Path, data: Path, out: Path) -> Iterator[Run]:
    """Yield a run of each command that takes an exported model, for each file."""
    show = ("--view", "none", "--fast", "--every", "0.1")
    for number, model in enumerate(map(str, models)):
        names = ("--labels", _LABELS) if "no-passport" in model else ()
        yield Run("inspect", ("inspect", model))
        yield Run("verify", ("verify", model))
        yield Run("bench", ("bench", model, "--rounds", "10"))
        table = str(out / f"{number}.csv")
        yield Run("label", ("label", str(pictures), "-o", table, "--workers", "1", "--model", model, *names))
        yield Run("webcam", ("webcam", str(pictures), *show, "--model", model, *names))
        yield Run("evaluate", ("evaluate", model, "--data", str(data)), LIMIT_S + TENSORFLOW_S)
        yield Run("bundle", ("bundle", model, "-o", str(out / f"{number}.tar.gz")))
        yield Run("service", ("service", "webcam", "0", "--model", model))


def source_runs(sources: Sequence[Path], data: Path, out: Path) -> Iterator[Run]:
    """Yield a run of each command that takes a trained model, for each file."""
    for number, source in enumerate(map(str, sources)):
        limit = LIMIT_S + TENSORFLOW_S
        yield Run("export", ("export", source, "-o", str(out / f"{number}.onnx")), limit)
        yield Run("evaluate", ("evaluate", source, "--data", str(data), "--scale", "unit"), limit)
        if number % 4 == 0:
            start = ("train", str(data), "--model", "edge-nano", "--set", f"init_from={source}")
            yield Run("train", (*start, "-o", str(out / f"run{number}")), limit)


def data_runs(data_sets: Sequence[Path]) -> Iterator[Run]:
    """Yield a run that reads each data set."""
    for data in map(str, data_sets):
        yield Run("evaluate", ("evaluate", "fashion", "--data", data), LIMIT_S + TENSORFLOW_S)


def perform(run: Run) -> Outcome:
    """Run a command, and kill it if it takes too much memory or time."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_fm", *run.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        started = time.monotonic()
        peak, killed = 0, ""
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, *(_peak(member) for member in _session(process.pid)), 0)
            if peak > MEMORY_BYTES:
                killed = "memory"
            elif _cpu_s(process.pid) > run.seconds or time.monotonic() - started > _PATIENCE * run.seconds:
                killed = "hang"
            if killed:
                os.killpg(process.pid, 9)
            time.sleep(0.05)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    cpu_s = usage.ru_utime + usage.ru_stime
    faults = {
        "traceback": "Traceback (most recent call last)" in text,
        "exit code": code not in _ALLOWED_CODES and not killed,
        "hang": killed == "hang" or cpu_s > run.seconds,
        "memory": peak > MEMORY_BYTES,
    }
    found = tuple(name for name, is_there in faults.items() if is_there)
    return Outcome(run, code, found, cpu_s, peak, next(iter(text.strip().splitlines()[-1:]), ""))


def _session(leader: int) -> Iterator[int]:
    """Yield the processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader:
                yield int(entry.name)


def _peak(pid: int) -> int:
    """Return the largest resident size of a process so far; `ru_maxrss` counts its parent's before exec."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def all_runs(work: Path) -> list[Run]:
    """Write every file below a folder and return every run."""
    folders = {name: work / name for name in ("models", "sources", "sets", "pictures", "out")}
    for folder in folders.values():
        folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        image = rng.integers(0, 256, (40, 40), np.uint8)
        cv2.imwrite(str(folders["pictures"] / f"{number}.png"), image)
    sets = abuse_sources.write_data_sets(folders["sets"])
    models = abuse_files.write_models(folders["models"])
    sources = abuse_sources.write_sources(folders["sources"])
    print(f"{len(models)} models, {len(sources)} trained models, {len(sets)} data sets")
    good = folders["sets"] / "good.npz"
    return [
        *model_runs(models, folders["pictures"], good, folders["out"]),
        *source_runs(sources, good, folders["out"]),
        *data_runs(sets),
    ]


def run_all(only: str = "", workers: int = 2) -> bool:
    """Run everything and print the counts; return whether there was no fault.

    Args:
        only: part of the command lines to run.
        workers: runs at a time.
    """
    with tempfile.TemporaryDirectory() as name:
        runs = [run for run in all_runs(Path(name)) if only in " ".join(run.arguments)]
        with ThreadPoolExecutor(workers) as threads:
            outcomes = []
            for outcome in threads.map(perform, runs):
                outcomes.append(outcome)
                if outcome.faults:
                    shown = " ".join(outcome.run.arguments).replace(name, "WORK")
                    print(
                        f"{', '.join(outcome.faults)}: edge-fm {shown}\n    {outcome.last:.300}", flush=True
                    )
    for command in dict.fromkeys(run.command for run in runs):
        mine = [outcome for outcome in outcomes if outcome.run.command == command]
        codes = dict(sorted(Counter(outcome.code for outcome in mine).items()))
        most_s, most = max(o.cpu_s for o in mine), max(o.peak_bytes for o in mine)
        print(f"{command}: {len(mine)} runs, exit codes {codes}, at most {most_s:.1f} s, {most / 1e6:.0f} MB")
    faults = Counter(fault for outcome in outcomes for fault in outcome.faults)
    print(f"{len(outcomes)} runs, faults: {dict(faults) or 'none'}")
    return not faults
