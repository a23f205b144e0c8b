"""Benchmark exported files side by side on this machine.

The files take turns, so that noise affects all of them alike. The time per image is that of
`Classifier.raw_probabilities` on one tensor and one thread. Cold start and memory are measured on a process
that imports edge-fm, opens the model and classifies one tensor.
"""

import json
import subprocess  # a cold start needs a new process
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.posix import end_with_parent, peak_memory_bytes

ROUNDS = 1000
"""Default number of single images per file."""

BATCH = 32
"""Images per batch for the throughput."""

_BATCH_ROUNDS = 60
_STARTS = 5
_TIMEOUT_S = 60

Listener = Callable[[float, float, str], None]
"""Called with (done, total, name of the measurement)."""


@dataclass(frozen=True)
class Measurement:
    """Benchmark results of one file.

    Attributes:
        model: name or path as given.
        precision: fp32 or int8.
        size_bytes: size of the file in bytes.
        p50_us: median time per image in microseconds.
        p90_us: 90th percentile of the time per image in microseconds.
        p99_us: 99th percentile of the time per image in microseconds.
        images_per_second: throughput in batches of 32, one thread.
        cold_start_ms: median time in milliseconds from starting a process to its first answer.
        peak_memory_bytes: median peak memory of those processes in bytes; None where the system does not
            report it.
    """

    model: str
    precision: str
    size_bytes: int
    p50_us: float
    p90_us: float
    p99_us: float
    images_per_second: float
    cold_start_ms: float
    peak_memory_bytes: int | None


def measure(models: Sequence[str], listener: Listener, rounds: int = ROUNDS) -> list[Measurement]:
    """Benchmark files side by side.

    Args:
        models: names of bundled models, or paths.
        listener: called with progress.
        rounds: number of single images per file.

    Raises:
        ModelError: a file cannot be used, or its process fails.
    """
    classifiers = [Classifier.load(model) for model in models]
    rng = np.random.default_rng(0)
    shapes = [classifier.passport.input.shape for classifier in classifiers]
    images = [rng.integers(0, 256, (BATCH, *shape), np.uint8) for shape in shapes]
    starts = _cold_starts(models, listener)
    singles = _times(classifiers, [batch[:1] for batch in images], rounds)
    batches = _times(classifiers, images, _BATCH_ROUNDS)
    measured = []
    for index, (model, classifier) in enumerate(zip(models, classifiers, strict=True)):
        p50, p90, p99 = (float(value) * 1e6 for value in np.percentile(singles[index], [50, 90, 99]))
        peaks = [peak for _, peak in starts[index] if peak is not None]
        measured.append(
            Measurement(
                model=model,
                precision=str(classifier.passport.precision.kind),
                size_bytes=len(read_model(model)),
                p50_us=p50,
                p90_us=p90,
                p99_us=p99,
                images_per_second=BATCH / median(batches[index]),
                cold_start_ms=median(seconds for seconds, _ in starts[index]) * 1000,
                peak_memory_bytes=round(median(peaks)) if peaks else None,
            )
        )
    return measured


def _times(
    classifiers: Sequence[Classifier], images: Sequence[np.typing.NDArray[np.uint8]], rounds: int
) -> list[list[float]]:
    """Return the times of each file in seconds."""
    times: list[list[float]] = [[] for _ in classifiers]
    for _ in range(rounds):
        for classifier, batch, seconds in zip(classifiers, images, times, strict=True):
            classifier.raw_probabilities(batch)  # warms the caches after the previous file
            started = time.perf_counter()
            classifier.raw_probabilities(batch)
            seconds.append(time.perf_counter() - started)
    return times


def _cold_starts(models: Sequence[str], listener: Listener) -> list[list[tuple[float, int | None]]]:
    """Return the cold starts of each file: time in seconds and peak memory in bytes."""
    starts: list[list[tuple[float, int | None]]] = [[] for _ in models]
    total = _STARTS * len(models)
    for number in range(_STARTS):
        for index, model in enumerate(models):
            listener(number * len(models) + index, total, "cold starts")
            starts[index].append(_cold_start(model))
    return starts


def _cold_start(model: str) -> tuple[float, int | None]:
    started = time.perf_counter()
    try:
        done = subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-m", "edge_fm_runtime.machine.bench", model],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{model} has not answered within {_TIMEOUT_S} s in a new process. Try 'edge-fm verify {model}'"
        ) from None
    seconds = time.perf_counter() - started
    try:
        peak = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ModelError(
            f"{model} could not be opened in a new process: {reason}. Try 'edge-fm inspect {model}'"
        ) from None
    return seconds, peak


def main() -> None:
    """Run as the process of a cold start: answer once, and print the peak memory in bytes."""
    end_with_parent()
    classifier = Classifier.load(sys.argv[1])
    classifier.raw_probabilities(np.zeros((1, *classifier.passport.input.shape), np.uint8))
    sys.stdout.write(json.dumps(peak_memory_bytes()))


if __name__ == "__main__":
    main()
