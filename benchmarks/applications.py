"""Networks of `keras.applications`, exported and compared: applications.py [--only NAME] [--int8].

Each has random weights of a fixed seed, statistics of its batch normalisation from photographs, so that
signals reach the end, and its own input size: once whole, once with a head of five classes. It is saved as
`.keras`. `edge-fm export` gets the file and, where it asks for them, the size and the pixels of the network's
own `preprocess_input`. Labels and probabilities are compared with those of Keras on 40 photographs
(EDGE_FM_DATA/photos) or noise. With --int8, three networks are exported as int8, calibrated on photographs.
"""

import argparse
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2

PICTURES = 40
LARGEST_DIFFERENCE = 1e-4
NETWORKS = {
    "MobileNet": ("mobilenet", 224, "symmetric"),
    "MobileNetV2": ("mobilenet_v2", 224, "symmetric"),
    "MobileNetV3Small": ("mobilenet_v3", 224, "raw"),
    "EfficientNetB0": ("efficientnet", 224, "raw"),
    "EfficientNetV2B0": ("efficientnet_v2", 224, "raw"),
    "ResNet50": ("resnet", 224, "caffe"),
    "DenseNet121": ("densenet", 224, "imagenet"),
    "NASNetMobile": ("nasnet", 224, "symmetric"),
    "Xception": ("xception", 299, "symmetric"),
    "InceptionV3": ("inception_v3", 299, "symmetric"),
}
"""Module, size and pixels of each network."""

INT8 = ("MobileNetV2", "EfficientNetV2B0", "ResNet50")


def built(name: str, size: int, *, top: bool) -> Any:  # noqa: ANN401  # Keras ships no types
    """Return a network with random weights of a fixed seed, whose answers depend on the picture."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    if top:
        network = build(weights=None)
    else:
        body = build(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
        network = keras.Model(body.input, keras.layers.Dense(5, activation="softmax")(body.output))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(prepared(name, photographs(size)), training=True)
    return network


def prepared(name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pictures as a network's own `preprocess_input` gives them."""
    module = importlib.import_module(f"keras.applications.{NETWORKS[name][0]}")
    return np.asarray(module.preprocess_input(images.astype(np.float32)), np.float32)


def photographs(size: int) -> NDArray[np.uint8]:
    """Return photographs (N, size, size, 3) in RGB order, or noise."""
    files = sorted((Path(os.environ.get("EDGE_FM_DATA", "none")) / "photos" / "train").rglob("*.jpg"))
    if not files:
        return np.random.default_rng(0).integers(0, 256, (PICTURES, size, size, 3), np.uint8)
    read = [cv2.imread(str(file)) for file in files[:: len(files) // PICTURES][:PICTURES]]
    return np.stack([cv2.resize(image, (size, size))[..., ::-1] for image in read if image is not None])


def export(model: Path, out: Path, size: int, scale: str, *options: object) -> tuple[str, float]:
    """Run `edge-fm export`, with what it asks for, and return its output and seconds."""
    given: list[str] = []
    answers = {"--scale": scale, "--size": str(size)}
    while True:
        begun = time.perf_counter()
        command = [Path(sys.executable).with_name("edge-fm"), "export", model, "-o", out, *given, *options]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begun
        asked = [name for name in answers if name in done.stderr and name not in given]
        if done.returncode != 2 or not asked:  # wrong usage
            break
        given += [asked[0], answers[asked[0]]]
    text = done.stdout + done.stderr
    if not out.exists():
        raise RuntimeError((text.strip().splitlines() or ["no output"])[-1])
    return ("asked for --scale; " if "--scale" in given else "") + text, seconds


def checked(name: str, work: Path, *, top: bool) -> bool:
    """Export one network, print its line, and return whether it answers as Keras does."""
    _, size, scale = NETWORKS[name]
    network = built(name, size, top=top)
    path, out = work / f"{name}-{top}.keras", work / f"{name}-{top}.onnx"
    network.save(path)
    kind = f"{name}, {'whole' if top else 'own head'}"
    try:
        text, seconds = export(path, out, size, scale)
    except RuntimeError as error:
        print(f"{kind:28} REFUSED: {error}", flush=True)
        return False
    images = photographs(size)
    expected = np.asarray(network.predict(prepared(name, images), verbose=0))
    found = Classifier.load(out).probabilities(images)
    alike = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
    difference = float(np.abs(found - expected).max())
    spread = float(np.ptp(expected, axis=0).max())  # by how much a probability varies between pictures
    held = bool(difference <= LARGEST_DIFFERENCE)
    asked = "asked" if text.startswith("asked") else "known"
    print(
        f"{kind:28} {seconds:6.1f} s   pixels {scale}, {asked}   labels equal {alike:6.1%}   "
        f"largest difference {difference:.1e} of {spread:.1e}   {path.stat().st_size / 2**20:5.1f} MiB {'' if held else 'DIFFERS'}",
        flush=True,
    )
    return held


def quantised(name: str, work: Path) -> None:
    """Print what the int8 file of one network costs and gains, as `edge-fm export` says it."""
    _, size, scale = NETWORKS[name]
    path, out = work / f"{name}.keras", work / f"{name}.onnx"
    built(name, size, top=False).save(path)
    calibration = Path(os.environ["EDGE_FM_DATA"]) / "photos" / "validation"
    text, seconds = export(path, out, size, scale, "--int8", "--calibration", calibration)
    print(f"{name}, {seconds:.0f} s\n{text}", flush=True)


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--int8", action="store_true")
    options = parser.parse_args()
    names = [name for name in (INT8 if options.int8 else NETWORKS) if options.only in name]
    held = []
    spawn = multiprocessing.get_context("spawn")
    # A process for each network: Keras gives no memory back.
    with (
        ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for name in names:
            if options.int8:
                pool.submit(quantised, name, Path(scratch)).result()
            else:
                held += [pool.submit(checked, name, Path(scratch), top=top).result() for top in (True, False)]
    if not options.int8:
        print(f"{sum(held)} of {len(held)} answer as Keras does, within {LARGEST_DIFFERENCE:g}")
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
