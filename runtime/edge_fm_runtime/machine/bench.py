"""Measure exported files side by side on this machine: all in turn, so that noise hits all alike.

One picture is the time of `Classifier.raw_probabilities` on one tensor, one thread. Cold start and memory are of a whole
process that imports, opens the model and classifies one tensor.
"""

import json
import subprocess  # a cold start is a process
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.posix import peak_memory_bytes

ROUNDS = 1000
BATCH = 32
_BATCH_ROUNDS = 60
_STARTS = 5
_TIMEOUT_S = 120

Listener = Callable[[float, float, str], None]
"""Called with (done, of how many, what is measured)."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one file.

    Attributes:
        model: as the user named it.
        precision: fp32 or int8.
        size_bytes: of the file.
        p50_us: median time of one picture, in microseconds.
        p90_us: nine of ten are faster.
        p99_us: ninety-nine of a hundred are faster.
        images_per_second: in batches of 32, one thread.
        cold_start_ms: median of whole processes, from nothing to the first answer.
        peak_memory_bytes: median of those processes; None where the system does not tell.
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
    """Measure files side by side.

    Args:
        models: names of bundled models, or paths.
        listener: told of progress.
        rounds: how many single pictures each file is given.

    Raises:
        ModelError: a file cannot be used, or its process fails.
    """
    opened = [Classifier.load(model) for model in models]
    rng = np.random.default_rng(0)
    shapes = [classifier.passport.input.shape for classifier in opened]
    pictures = [rng.integers(0, 256, (BATCH, *shape), np.uint8) for shape in shapes]
    starts: list[list[tuple[float, int | None]]] = [[] for _ in models]
    total = _STARTS * len(models)
    for number in range(_STARTS):
        for index, model in enumerate(models):
            listener(number * len(models) + index, total, "cold starts")
            starts[index].append(_cold_start(model))
    singles = _timed(opened, [batch[:1] for batch in pictures], rounds)
    batches = _timed(opened, pictures, _BATCH_ROUNDS)
    found = []
    for index, (model, classifier) in enumerate(zip(models, opened, strict=True)):
        p50, p90, p99 = (float(value) * 1e6 for value in np.percentile(singles[index], [50, 90, 99]))
        memory = [peak for _, peak in starts[index] if peak is not None]
        found.append(
            Measurement(
                model,
                str(classifier.passport.precision.kind),
                len(read_model(model)),
                p50,
                p90,
                p99,
                BATCH / median(batches[index]),
                median(took for took, _ in starts[index]) * 1000,
                round(median(memory)) if memory else None,
            )
        )
    return found


def _timed(
    opened: Sequence[Classifier], pictures: Sequence[np.typing.NDArray[np.uint8]], rounds: int
) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in opened]
    for _ in range(rounds):
        for classifier, images, taken in zip(opened, pictures, times, strict=True):
            classifier.raw_probabilities(images)  # the first call after another file's finds cold caches
            started = time.perf_counter()
            classifier.raw_probabilities(images)
            taken.append(time.perf_counter() - started)
    return times


def _cold_start(model: str) -> tuple[float, int | None]:
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", "edge_fm_runtime.machine.bench", model],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    took = time.perf_counter() - started
    try:
        peak = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(f"{model} could not be opened in a process of its own: {reason}") from None
    return took, peak


def main() -> None:
    """Be the process of a cold start: answer once, and print the peak memory in bytes."""
    classifier = Classifier.load(sys.argv[1])
    classifier.raw_probabilities(np.zeros((1, *classifier.passport.input.shape), np.uint8))
    sys.stdout.write(json.dumps(peak_memory_bytes()))


if __name__ == "__main__":
    main()
