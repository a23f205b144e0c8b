"""How fast folders are labelled, against what else people use, and whether reduced decoding changes labels.

    python benchmarks/label.py speed [--kind jpeg|large|png|mix] [--images N] [--photos DIR] [--rounds 5] [--model MODEL] [--against PEER]
    python benchmarks/label.py journal [--kind ...] [--images N] [--photos DIR] [--rounds 5]
    python benchmarks/label.py agreement --photos DIR [--model MODEL] [--kind large --images 400]
    python benchmarks/label.py memory

`speed` makes a folder (of photographs where they are given, enlarged ones for `large`), and runs every contestant as a whole process on the same cores, in turn, `--rounds` times.
Peers that are not installed are named and left out: keras, ai_edge_litert, openvino. All classify with the seed CNN: ours and the cv2
loop with what `edge-fm export --int8` makes of it from Fashion-MNIST, the others with what their own converters do. `--model fashion`
gives ours and the cv2 loop a file of their own. `--against "cv2 loop"` leaves the other peers out, for folders that take them minutes. `journal` compares a run into a file with one to standard output, which keeps none.
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
from pathlib import Path

import numpy as np

from edge_fm import wardrobe
from edge_fm_runtime import guard, modelfile, preprocess
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.opencv import cv2

ROOT = Path(__file__).resolve().parent.parent
IMAGES = {"jpeg": 6000, "large": 240, "png": 20_000, "mix": 6000}
SEED_CNN = ROOT / "samples" / "cnn.keras"

PEERS = {
    "floor": """
import os, sys, cv2, numpy as np
from concurrent.futures import ThreadPoolExecutor
cv2.setNumThreads(1)
files = sorted(e.path for e in os.scandir(sys.argv[1]))
flag = {"jpeg": cv2.IMREAD_REDUCED_GRAYSCALE_4, "large": cv2.IMREAD_REDUCED_GRAYSCALE_8}.get(sys.argv[2], cv2.IMREAD_GRAYSCALE)
def decode(part):
    for name in part:
        cv2.imdecode(np.fromfile(name, np.uint8), flag)
with ThreadPoolExecutor(2) as pool:
    list(pool.map(decode, [files[::2], files[1::2]]))
""",
    "cv2 loop": """
import csv, os, sys, cv2, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[3])
with open(sys.argv[4], "w", newline="") as file:
    out = csv.writer(file)
    for entry in sorted(os.scandir(sys.argv[1]), key=lambda e: e.path):
        image = cv2.resize(cv2.imread(entry.path, cv2.IMREAD_GRAYSCALE), (28, 28), interpolation=cv2.INTER_AREA)
        row = session.run(None, {"image": image[None, :, :, None]})[0][0]
        out.writerow([entry.path, int(row.argmax()), float(row.max())])
""",
    "keras": """
import csv, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
data = keras.utils.image_dataset_from_directory(sys.argv[1], labels=None, color_mode="grayscale", image_size=(28, 28),
                                                shuffle=False, batch_size=64, verbose=False)
model = keras.saving.load_model(sys.argv[5], compile=False)
rows = model.predict(data.map(lambda x: x / 255.0), verbose=0)
with open(sys.argv[4], "w", newline="") as file:
    csv.writer(file).writerows([name, int(r.argmax()), float(r.max())] for name, r in zip(data.file_paths, rows))
""",
    "litert": """
import csv, os, sys, cv2, numpy as np
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(model_path=sys.argv[6], num_threads=1)
model.allocate_tensors()
given, answered = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
with open(sys.argv[4], "w", newline="") as file:
    out = csv.writer(file)
    for entry in sorted(os.scandir(sys.argv[1]), key=lambda e: e.path):
        image = cv2.resize(cv2.imread(entry.path, cv2.IMREAD_GRAYSCALE), (28, 28), interpolation=cv2.INTER_AREA)
        model.set_tensor(given, image[None, :, :, None].astype(np.float32) / 255)
        model.invoke()
        row = model.get_tensor(answered)[0]
        out.writerow([entry.path, int(row.argmax()), float(row.max())])
""",
    "openvino": """
import csv, os, sys, cv2, numpy as np, openvino
model = openvino.Core().compile_model(sys.argv[7], "CPU", {"PERFORMANCE_HINT": "LATENCY"})
with open(sys.argv[4], "w", newline="") as file:
    out = csv.writer(file)
    for entry in sorted(os.scandir(sys.argv[1]), key=lambda e: e.path):
        image = cv2.resize(cv2.imread(entry.path, cv2.IMREAD_GRAYSCALE), (28, 28), interpolation=cv2.INTER_AREA)
        row = model(image[None, :, :, None])[0][0]
        out.writerow([entry.path, int(row.argmax()), float(row.max())])
""",
}
NEEDS = {"keras": "keras", "litert": "ai_edge_litert", "openvino": "openvino"}


def make_images(folder: Path, kind: str, count: int) -> None:
    """Draw garments on cluttered ground as files: 400x533 JPEG of about 27 kB, 12 MP JPEG, or 28x28 PNG."""
    rng = np.random.default_rng(0)
    distinct = []
    for index in range(24 if kind == "large" else 200):
        if kind == "png" or (kind == "mix" and index % 4 == 3):
            distinct.append((cv2.imencode(".png", wardrobe.draw(index % 10, rng))[1].tobytes(), ".png"))
            continue
        height, width = (4000, 3000) if kind == "large" or (kind == "mix" and index % 50 == 0) else (533, 400)
        small = cv2.resize(
            wardrobe.draw(index % 10, rng, 224), (width, height), interpolation=cv2.INTER_CUBIC
        )
        noise = cv2.resize(rng.normal(0, 40, (height // 3, width // 3)).astype(np.float32), (width, height))
        picture = np.clip(small[..., None] * [0.8, 0.9, 1.0] + noise[..., None] + 40, 0, 255).astype(np.uint8)
        distinct.append((_jpeg(picture), ".jpg"))
    for index in range(count):
        data, suffix = distinct[index % len(distinct)]
        (folder / f"{index:06}{suffix}").write_bytes(data)


def enlarged(photos: list[Path], folder: Path, count: int, distinct: int) -> None:
    """Make photographs of 12 megapixels out of small ones, with a sensor's noise; so many of them distinct, evenly chosen."""
    rng = np.random.default_rng(0)
    for index in range(distinct):
        small = preprocess.frame_from_bytes(photos[index * len(photos) // distinct].read_bytes())
        height, width = (4000, 3000) if small.shape[0] >= small.shape[1] else (3000, 4000)
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = cv2.resize(
            rng.normal(0, 12, (height // 2, width // 2, 3)).astype(np.float32), (width, height)
        )
        picture = np.clip(large + noise, 0, 255).astype(np.uint8)
        data = _jpeg(picture)
        for copy in range(index, count, distinct):
            (folder / f"{copy:06}.jpg").write_bytes(data)


def _jpeg(picture: "np.typing.NDArray[np.uint8]") -> bytes:
    """Return a picture in about as many bytes for each pixel as 27 kB are for 400x533."""
    for quality in (85, 75, 65, 55, 45, 35, 25):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) < 0.14 * picture.shape[0] * picture.shape[1]:
            break
    return data


def make_models(folder: Path) -> tuple[Path, Path, Path]:
    """Convert the seed CNN: int8 for ours and the cv2 loop, a LiteRT file, a float32 ONNX file for OpenVINO."""
    from edge_fm_exporters.framework import import_keras

    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    for path, options in ((fp32, []), (int8, ["--int8"])):
        command = ["export", str(SEED_CNN), "--data", "fashion-mnist", "--scale", "unit", *options]
        subprocess.run([edge_fm(), *command, "-o", str(path)], stdout=subprocess.DEVNULL, check=path is fp32)
        # Where int8 does not pay, the float32 file is written in its place, with exit code 1.
    import tensorflow as tf

    model = import_keras().saving.load_model(SEED_CNN, compile=False)
    lite = folder / "cnn.tflite"
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 28, 28, 1), tf.float32)
    )
    lite.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())
    return int8, lite, fp32


def edge_fm() -> str:
    """Return the command's path."""
    return str(Path(sys.executable).with_name("edge-fm"))


def speed(
    kind: str, images: int, photos: Path | None, rounds: int, model: str | None, against: str | None
) -> None:
    """Time every contestant, or the floor and one, in turn, and print medians and ratios."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder, files = _filled(work, kind, images, photos)
        int8, lite, fp32 = make_models(work)
        if model is not None:
            int8.write_bytes(modelfile.read_model(model))
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
                kind,
                str(int8),
                f"{work}/{peer}.csv",
                str(SEED_CNN),
                str(lite),
                str(fp32),
            ]
            contestants[peer] = [sys.executable, "-c", code, *arguments]
        times = _raced(contestants, rounds)
        medians = {peer: statistics.median(values) for peer, values in times.items()}
        _print_times(times, files)
        best = min((m, p) for p, m in medians.items() if p not in {"ours", "floor"})
        pairs = [f / o for f, o in zip(times["floor"], times["ours"], strict=True)]
        print(f"ours is {best[0] / medians['ours']:.2f} times the fastest of the others ({best[1]})")
        if "cv2 loop" in medians:
            print(f"ours is {medians['cv2 loop'] / medians['ours']:.2f} times the cv2 loop")
        print(f"ours is at {statistics.median(pairs):.3f} of the bare decode floor (median of pairs)")


def journal(kind: str, images: int, photos: Path | None, rounds: int) -> None:
    """Time a run that keeps a journal against one that keeps none, in turn."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder, files = _filled(work, kind, images, photos)
        label = [edge_fm(), "label", str(folder), "-o"]
        times = _raced({"journal": [*label, f"{work}/ours.csv", "--fresh"], "none": [*label, "-"]}, rounds)
        _print_times(times, files)
        pairs = [kept / none - 1 for kept, none in zip(times["journal"], times["none"], strict=True)]
        print(f"the journal and the file cost {statistics.median(pairs):+.1%} (median of pairs)")


def _filled(work: Path, kind: str, images: int, photos: Path | None) -> tuple[Path, int]:
    """Make the folder of pictures; return it, and how many there are."""
    folder = work / "images"
    folder.mkdir()
    if photos is None:
        make_images(folder, kind, images)
    elif kind == "large":
        enlarged(sorted(photos.rglob("*.jpg")), folder, images, max(1, images // 4))
    else:
        for index, path in enumerate(sorted(photos.rglob("*.jpg")) * (1 + images // 3000)):
            if index < images:
                shutil.copy(path, folder / f"{index:06}.jpg")
    sizes = [path.stat().st_size for path in folder.iterdir()]
    kilobytes = sum(sizes) / len(sizes) / 1000
    print(f"{len(sizes):,} files, {kilobytes:.1f} kB each ({kind}), {os.cpu_count()} cores")
    return folder, len(sizes)


def _raced(contestants: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Run each as a whole process, in turn; return the seconds of each round after one that warms the disk cache."""
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
    """Count photographs whose label is not that of decoding every pixel, before and after the second look."""
    if kind == "large":
        with tempfile.TemporaryDirectory() as name:
            enlarged(sorted(photos.rglob("*.jpg")), Path(name), images, images)
            agreement(Path(name), model, "jpeg", images)
        return
    classifier = Classifier.load(model or "fashion")
    spec, recipe = classifier.passport.input, classifier.passport.preprocess
    small, whole, again = [], [], []
    for path in sorted(photos.rglob("*.jpg")):
        data = guard.read_file(path)
        small.append(preprocess.tensor_from_bytes(data, spec, recipe))
        whole.append(preprocess.tensor_from_bytes(data, spec, recipe, full_scale=True))
        row = classifier.probabilities(small[-1][np.newaxis])[0]
        again.append(classifier.second_look(data, row) is not None)
    first, full = (classifier.probabilities(np.stack(some)).argmax(axis=1) for some in (small, whole))
    given = np.where(again, full, first)
    difference = np.abs(np.stack(small).astype(int) - np.stack(whole))
    print(f"grey levels differ by {difference.mean():.2f} on average, {difference.max()} at most")
    print(
        f"{np.mean(first == full):.4%} of {len(full):,} labels are those of full-scale decoding at first sight"
    )
    print(f"{np.mean(again):.1%} are looked at again; then {np.mean(given == full):.4%} are the same")


def memory() -> None:
    """Print the peak memory of a worker at 1,000 and at 1,000,000 inputs (hard links of one picture)."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        picture = folder / "picture.png"
        picture.write_bytes(cv2.imencode(".png", wardrobe.draw(0, np.random.default_rng(0)))[1].tobytes())
        first = picture
        for count in (1_000, 1_000_000):
            inputs = folder / str(count)
            for index in range(count):
                below = inputs / f"{index // 10_000:03}"
                if index % 10_000 == 0:  # file systems limit the links of one file
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
                    peaks[who] = max(peaks.get(who, 0), _peak_kb(pid))
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


def _peak_kb(pid: int) -> int:
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
    parser.add_argument("--images", type=int, help=f"how many; {IMAGES} if not said")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model")
    parser.add_argument("--against", choices=[peer for peer in PEERS if peer != "floor"])
    options = parser.parse_args()
    images = options.images or IMAGES[options.kind]
    if options.what == "speed":
        speed(options.kind, images, options.photos, options.rounds, options.model, options.against)
    elif options.what == "journal":
        journal(options.kind, images, options.photos, options.rounds)
    elif options.what == "memory":
        memory()
    else:
        agreement(options.photos, options.model, options.kind, images)


if __name__ == "__main__":
    main()
