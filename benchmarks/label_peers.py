"""Other programs that label folders, and the seed CNN in their formats.

Each peer is a program: `python -c CODE FOLDER KIND ONNX OUT KERAS LITERT FP32_ONNX`. All classify with the
seed CNN: ours and the cv2 loop use the file that `edge-fm export --int8` writes with Fashion-MNIST, the
others the files of their own converters.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


def make_models(folder: Path) -> tuple[Path, Path, Path]:
    """Convert the seed CNN: int8 for ours and the cv2 loop, LiteRT, and float32 ONNX for OpenVINO."""
    from edge_fm_exporters.framework import import_keras

    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    for path, options in ((fp32, []), (int8, ["--int8"])):
        command = ["export", str(SEED_CNN), "--data", "fashion-mnist", "--scale", "unit", *options]
        subprocess.run([edge_fm(), *command, "-o", str(path)], stdout=subprocess.DEVNULL, check=path is fp32)
        # Where int8 is not worthwhile, export writes the float32 file instead, with exit code 1.
    import tensorflow as tf

    model = import_keras().saving.load_model(SEED_CNN, compile=False)
    lite = folder / "cnn.tflite"
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 28, 28, 1), tf.float32)
    )
    lite.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())
    return int8, lite, fp32


def edge_fm() -> str:
    """Return the path of the edge-fm command."""
    return str(Path(sys.executable).with_name("edge-fm"))
