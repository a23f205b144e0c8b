"""Measure live feeds: latency, frame rate, age of frames, start-up and memory.

    python benchmarks/live.py latency            from a decoded 640x480 frame to its label, on one core
    python benchmarks/live.py rate               a file with --fast against a bare VideoCapture.read loop
    python benchmarks/live.py age                120 frames a second into a classifier slowed to 20
    python benchmarks/live.py start              whole process, until the first label is printed
    python benchmarks/live.py memory --minutes 10   a pipe of JPEGs at full rate

`live_streams.py` tests streams whose servers are killed.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import as_installed
import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import loop
from edge_fm_runtime.live.cameras.camera_stream import CameraStream
from edge_fm_runtime.live.cameras.mjpeg import MjpegPipe
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.region import Region
from edge_fm_runtime.live.smoothing import LabelSmoother

ROOT = Path(__file__).resolve().parent.parent
WEBCAM = [sys.executable, "-m", "edge_fm", "webcam"]
BARE = """
import sys, cv2
capture, frames = cv2.VideoCapture(sys.argv[1]), 0
while capture.read()[0]:
    frames += 1
print(frames)
"""


def frames_of_garments(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield 640x480 frames of drawn garments moving over a textured background."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8), (0, 0), 2)
    garments = [
        cv2.resize(np.asarray(cv2.imread(str(p))), (360, 360))
        for p in sorted((ROOT / "samples/wardrobe").glob("*.png"))
    ]
    for number in range(count):
        picture = ground.copy()
        left, top = 140 + int(100 * np.sin(number / 17)), 60 + int(40 * np.cos(number / 11))
        picture[top : top + 360, left : left + 360] = garments[number // 25 % len(garments)]
        yield np.asarray(picture, np.uint8)


def latency() -> None:
    """Print the median and the 99th percentile of the time from decoded frame to label."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    classifier = Classifier.load("fashion")
    frames = list(frames_of_garments(50))
    for name in ("centre", "full"):
        region, smoother, taken_ms = Region.parse(name), LabelSmoother(classifier, 0.3, 0.3), []
        region.suit(classifier.passport.input)
        for number in range(4000):
            frame = frames[number % len(frames)]
            started_s = time.perf_counter()
            box = region.box(640, 480)
            tensor = classifier.frame_tensor(frame[box.y : box.y + box.height, box.x : box.x + box.width])
            smoother.answer(classifier.probabilities(tensor[np.newaxis])[0], number / 30)
            taken_ms.append((time.perf_counter() - started_s) * 1000)
        middle, late = np.percentile(taken_ms[100:], [50, 99])
        print(
            f"region {name}: median {middle:.3f} ms, 99th percentile {late:.3f} ms, {len(taken_ms) - 100} frames"
        )


def rate(runs: int) -> None:
    """Print frames per second of both, interleaved, and the median ratio, for each available codec."""
    count = 12_000
    rng = np.random.default_rng(1)
    noise = [rng.normal(0, 3, (480, 640, 3)).astype(np.float32) for _ in range(16)]  # sensor noise
    with tempfile.TemporaryDirectory() as folder:
        videos = {"MPEG-4": Path(folder) / "mpeg4.mp4"}
        writer = cv2.VideoWriter(str(videos["MPEG-4"]), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
        for number, frame in enumerate(frames_of_garments(count)):
            writer.write(np.clip(frame + noise[number * 7 % 16], 0, 255).astype(np.uint8))
        writer.release()
        if encoder := shutil.which("ffmpeg"):
            videos["H.264"] = Path(folder) / "h264.mp4"
            encode: list[str | Path] = [
                encoder,
                "-v",
                "error",
                "-i",
                videos["MPEG-4"],
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-crf",
                "20",
            ]
            subprocess.run([*encode, videos["H.264"]], check=True)
        for codec, video in videos.items():
            _compare(codec, str(video), count, runs)


def _compare(codec: str, video: str, count: int, runs: int) -> None:
    commands = {
        "bare": [sys.executable, "-c", BARE, video],
        "ours": [*WEBCAM, video, "--fast", "--view", "none"],
    }
    taken_s: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            started_s = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            taken_s[name].append(time.perf_counter() - started_s)
    for name, times_s in taken_s.items():
        print(f"{codec}, {name}: {count / statistics.median(times_s):,.0f} frames/s, start-up included")
    ratios = [bare / ours for bare, ours in zip(taken_s["bare"], taken_s["ours"], strict=True)]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"{codec}, ours / bare: {statistics.median(ratios):.2f} (median of {runs}: {each})")


NUMBERED = """
import sys, time, numpy as np, cv2
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
ready = []
for number in range(int(rate * seconds)):
    picture = np.full((480, 640, 3), 128, np.uint8)
    for bit in range(16):
        picture[:30, 40 * bit : 40 * bit + 40] = 255 * (number >> bit & 1)
    ready.append(cv2.imencode(".jpg", picture)[1].tobytes())
start = time.monotonic() + 0.5
for number, data in enumerate(ready):
    time.sleep(max(0, start + number / rate - time.monotonic()))
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
    print(number, time.monotonic(), file=sys.stderr)
"""


def age(seconds: float) -> None:
    """Print the greatest age of a frame when its label is shown, in classifier periods.

    The last frame is reported separately, because no newer frame replaces it while the one before is
    classified.
    """
    classifier = Classifier.load("fashion")
    period_s = 1 / 20
    real = classifier.raw_probabilities

    def slowed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(period_s)
        return real(images)

    classifier.raw_probabilities = slowed  # type: ignore[method-assign]
    command = [sys.executable, "-c", NUMBERED, "120", str(seconds)]
    shown: list[tuple[int, float]] = []

    class Recorder:
        def show(self, result: FrameResult) -> bool:
            bits = result.frame_bgr[15, 20::40, 0] > 127
            shown.append((int(sum(1 << n for n, bit in enumerate(bits) if bit)), time.monotonic()))
            return True

        def wait(self, notice: str) -> bool:  # noqa: ARG002
            return True

        def close(self) -> None:
            pass

    with (
        tempfile.TemporaryFile() as times,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=times) as source,
    ):
        if source.stdout is None:
            raise TypeError
        descriptor = source.stdout.fileno()
        camera = CameraStream(lambda: MjpegPipe(descriptor), "pipe", "", reopens=False)
        loop.run(classifier, camera, [Recorder()])
        source.wait()
        times.seek(0)
        sent_s = {
            int(number): float(at)
            for number, at in (line.split() for line in times.read().decode().splitlines())
        }
    *ages_s, last_s = [at - sent_s[number] for number, at in shown]
    print(
        f"{len(sent_s):,} frames at 120/s, {len(shown)} shown, {camera.dropped:,} dropped; age when shown: median "
        f"{statistics.median(ages_s) * 1000:.0f} ms, greatest {max(ages_s) * 1000:.0f} ms = "
        f"{max(ages_s) / period_s:.2f} classifier periods; of the last, after the source had ended: "
        f"{last_s / period_s:.2f}"
    )


def start(runs: int) -> None:
    """Print the time from the start of the process to its first label."""
    as_installed.compile_modules()
    taken_s = []
    for _ in range(runs):
        started_s = time.perf_counter()
        with subprocess.Popen(
            [*WEBCAM, str(ROOT / "samples/wardrobe.mp4"), "--view", "none"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            if process.stdout is None:
                raise TypeError
            process.stdout.readline()
            taken_s.append(time.perf_counter() - started_s)
            process.kill()
    print(
        f"first label after {statistics.median(taken_s):.2f} s (median of {runs}, slowest {max(taken_s):.2f} s)"
    )


def memory(minutes: float) -> None:
    """Print the resident memory every 30 seconds while JPEGs are piped in at full rate."""
    jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames_of_garments(500)]
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "events.jsonl")
        with subprocess.Popen(
            [*WEBCAM, "-", "--view", "none", "--log", log],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=False,
        ) as process:
            sizes_mb: list[float] = []
            started_s = time.monotonic()
            next_s = started_s + 30
            while time.monotonic() - started_s < minutes * 60:
                for data in jpegs:
                    _pipe(process).write(data)
                if time.monotonic() >= next_s:
                    next_s += 30
                    sizes_mb.append(_resident_mb(process.pid))
                    print(f"{time.monotonic() - started_s:6.0f} s  {sizes_mb[-1]:.1f} MB", flush=True)
            _pipe(process).close()
            output = process.stderr.read().decode().strip() if process.stderr else ""
    print(
        f"{output}; from {sizes_mb[0]:.1f} to {sizes_mb[-1]:.1f} MB, between {min(sizes_mb):.1f} and {max(sizes_mb):.1f}"
    )


def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    if process.stdin is None:
        raise TypeError
    return process.stdin


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["latency", "rate", "age", "start", "memory"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    wanted = parser.parse_args()
    if wanted.what == "latency":
        latency()
    elif wanted.what == "rate":
        rate(wanted.runs)
    elif wanted.what == "age":
        age(wanted.seconds)
    elif wanted.what == "start":
        start(wanted.runs)
    else:
        memory(wanted.minutes)


if __name__ == "__main__":
    main()
