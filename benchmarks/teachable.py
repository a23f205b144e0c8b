"""Compare Teachable Machine's models with its sample code: teachable.py FOLDER [--speed].

FOLDER has a sub-folder for each export, with an `.h5` file and `labels.txt`. Each is exported without an
option. Its labels of 200 photographs (EDGE_FM_DATA/photos) are compared with those of the sample code that
Teachable Machine publishes (Pillow's ImageOps.fit with Lanczos, x / 127.5 - 1, Keras), and with the same code
with bilinear resampling: a label that changes between the two hangs on the resampling.

With --speed, one export labels 3,000 photographs beside a LiteRT loop and the sample's loop with the same
network, whole processes, interleaved, five rounds; and one photograph, as a whole process.
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PICTURES, MANY, SAMPLE_LOOP, ROUNDS = 200, 3000, 300, 5
LEAST, LEAST_STABLE = 0.95, 0.99

SAMPLE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tf_keras
from PIL import Image, ImageOps
model = tf_keras.models.load_model(sys.argv[1], compile=False)
files = sorted(entry.path for entry in os.scandir(sys.argv[2]))
rows = {"lanczos": [], "bilinear": []}
for file in files:
    image = Image.open(file).convert("RGB")
    for name, how in (("lanczos", Image.Resampling.LANCZOS), ("bilinear", Image.Resampling.BILINEAR)):
        pixels = np.asarray(ImageOps.fit(image, (224, 224), how), np.float32)
        rows[name].append((pixels / 127.5 - 1).astype(np.float32))
np.savez(sys.argv[3], **{name: model.predict(np.stack(batch), verbose=0) for name, batch in rows.items()})
"""

LOOPS = {
    "Keras": """
import csv, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tf_keras
from PIL import Image, ImageOps
model = tf_keras.models.load_model(sys.argv[1], compile=False)
data = np.ndarray(shape=(1, 224, 224, 3), dtype=np.float32)
with open(sys.argv[4], "w", newline="") as file:
    out = csv.writer(file)
    for entry in sorted(os.scandir(sys.argv[3]), key=lambda e: e.path):
        image = ImageOps.fit(Image.open(entry.path).convert("RGB"), (224, 224), Image.Resampling.LANCZOS)
        data[0] = np.asarray(image).astype(np.float32) / 127.5 - 1
        row = model.predict(data, verbose=0)[0]
        out.writerow([entry.path, int(row.argmax()), float(row.max())])
""",
    "LiteRT": """
import csv, os, sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps
model = Interpreter(model_path=sys.argv[2], num_threads=2)
model.allocate_tensors()
given, answered = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
with open(sys.argv[4], "w", newline="") as file:
    out = csv.writer(file)
    for entry in sorted(os.scandir(sys.argv[3]), key=lambda e: e.path):
        image = ImageOps.fit(Image.open(entry.path).convert("RGB"), (224, 224), Image.Resampling.LANCZOS)
        model.set_tensor(given, np.asarray(image, np.float32)[None] / np.float32(127.5) - np.float32(1))
        model.invoke()
        row = model.get_tensor(answered)[0]
        out.writerow([entry.path, int(row.argmax()), float(row.max())])
""",
}
"""Programs: `python -c CODE KERAS LITERT FOLDER OUT`; the first is the published sample, in a loop."""


def edge_fm(*arguments: object) -> float:
    """Run `edge-fm` and return its seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [Path(sys.executable).with_name("edge-fm"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError((done.stdout + done.stderr).strip())
    return time.perf_counter() - begun


def python(code: str, *arguments: object) -> float:
    """Run a program and return its seconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)
    return time.perf_counter() - begun


def photographs(folder: Path, count: int) -> Path:
    """Return a folder with `count` photographs, evenly chosen."""
    files = sorted((Path(os.environ["EDGE_FM_DATA"]) / "photos" / "train").rglob("*.jpg"))
    folder.mkdir()
    for index in np.linspace(0, len(files) - 1, count).astype(int):
        (folder / f"{index:05}.jpg").symlink_to(files[index])
    return folder


def labels(table: Path) -> NDArray[np.str_]:
    """Return the labels of a table, in the order of its rows."""
    with table.open(newline="", encoding="utf-8") as file:
        return np.array([row["label"] for row in csv.DictReader(file)])


def compared(source: Path, pictures: Path, work: Path) -> bool:
    """Print the agreement of one export with the published sample, and return whether it is enough."""
    names = np.array(
        [
            line.split(" ", 1)[-1].strip()
            for line in (source.parent / "labels.txt").read_text().splitlines()
            if line.strip()
        ]
    )
    seconds = edge_fm("export", source, "-o", work / "model.onnx")
    edge_fm("label", pictures, "--model", work / "model.onnx", "-o", work / "labels.csv", "--fresh")
    python(SAMPLE, source, pictures, work / "sample.npz")
    with np.load(work / "sample.npz") as rows:
        lanczos, bilinear = (names[rows[name].argmax(axis=1)] for name in ("lanczos", "bilinear"))
    own = labels(work / "labels.csv")
    stable = lanczos == bilinear
    equal, equal_stable = np.mean(own == lanczos), np.mean((own == lanczos)[stable])
    held = bool(equal >= LEAST and equal_stable >= LEAST_STABLE)
    print(
        f"{source.parent.name:24} export {seconds:5.1f} s   equal {equal:6.1%}   "
        f"of the {stable.sum()} that hang on no resampling {equal_stable:6.1%}   {'' if held else 'MISSED'}",
        flush=True,
    )
    return held


def litert_of(keras_model: Path, out: Path) -> None:
    """Convert a network to LiteRT in float32."""
    code = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf, tf_keras
model = tf_keras.models.load_model(sys.argv[1], compile=False)
function = tf.function(lambda x: model(x, training=False))
concrete = function.get_concrete_function(tf.TensorSpec((1, 224, 224, 3), tf.float32))
open(sys.argv[2], "wb").write(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())
"""
    subprocess.run([sys.executable, "-c", code, keras_model, out], check=True, capture_output=True)


def speed(source: Path, work: Path) -> None:
    """Print the seconds of each program over many photographs, and of one photograph."""
    lite = work / "model.tflite"
    litert_of(source, lite)
    calibration = Path(os.environ["EDGE_FM_DATA"]) / "photos" / "validation"
    edge_fm("export", source, "-o", work / "float.onnx")
    edge_fm("export", source, "-o", work / "int8.onnx", "--int8", "--calibration", calibration)
    many, few = photographs(work / "many", MANY), photographs(work / "few", SAMPLE_LOOP)
    one = photographs(work / "one", 1)
    taken: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name in ("float", "int8"):
            arguments = ("--model", work / f"{name}.onnx", "-o", work / "labels.csv", "--fresh")
            taken.setdefault(name, []).append(MANY / edge_fm("label", many, *arguments))
            taken.setdefault(f"one photograph, {name}", []).append(edge_fm("label", one, *arguments))
        taken.setdefault("LiteRT", []).append(
            MANY / python(LOOPS["LiteRT"], source, lite, many, work / "out")
        )
        begun = time.perf_counter()
        python(LOOPS["Keras"], source, lite, one, work / "out")
        start = time.perf_counter() - begun  # Keras' own start is left out, in its favour
        taken.setdefault("Keras", []).append(
            SAMPLE_LOOP / (python(LOOPS["Keras"], source, lite, few, work / "out") - start)
        )
    for name, values in taken.items():
        unit = "s" if name.startswith("one") else "photographs a second"
        print(f"{name:24} {statistics.median(values):8.2f} {unit}   {min(values):.2f} to {max(values):.2f}")
    for name in ("float", "int8"):
        for peer in ("LiteRT", "Keras"):
            ratios = [own / other for own, other in zip(taken[name], taken[peer], strict=True)]
            print(f"{name} by {peer}: {statistics.median(ratios):.2f} times")


def main() -> None:
    """Print a line for each export, then the speed of the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    sources = [
        path
        for path in sorted(options.folder.glob("*/*.h5"))
        if options.only in str(path) and (path.parent / "labels.txt").is_file()
    ]
    if not sources:
        sys.exit(f"{options.folder} has no sub-folder with an .h5 file and labels.txt")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        if options.speed:
            speed(sources[0], work)
            return
        pictures = photographs(work / "pictures", PICTURES)
        held = []
        for source in sources:
            folder = work / source.parent.name
            folder.mkdir()
            held.append(compared(source, pictures, folder))
            shutil.rmtree(folder)
        print(
            f"{sum(held)} of {len(held)} as close as asked: {LEAST:.0%}, and {LEAST_STABLE:.0%} where the resampling decides nothing"
        )
        sys.exit(not all(held))


if __name__ == "__main__":
    main()
