"""Answers of a model in the framework that made it, read independently.

    python benchmarks/bring_reference.py MODEL PICTURES OUT.npz

It shares no code with edge-fm: Keras, tf-keras, TensorFlow or its Lite interpreter runs the model, Pillow
reads the pictures, which already have the model's size. OUT.npz has the probabilities for each usual scale of
the pixels. It executes what the model brings: run it only on models that edge-fm accepted.
"""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SCALES: dict[str, Callable[[Any], Any]] = {
    "unit": lambda pixels: pixels / 255,
    "raw": lambda pixels: pixels,
    "symmetric": lambda pixels: pixels / 127.5 - 1,
    "imagenet": lambda pixels: (pixels / 255 - MEAN) / DEVIATION,
    "unit-bgr": lambda pixels: pixels[..., ::-1] / 255,
    "raw-bgr": lambda pixels: pixels[..., ::-1],
    "symmetric-bgr": lambda pixels: pixels[..., ::-1] / 127.5 - 1,
    "caffe": lambda pixels: pixels[..., ::-1] - np.array([103.939, 116.779, 123.68]),
}


def keras_version(path: Path) -> str:
    """Return the version of Keras that saved a file."""
    if zipfile.is_zipfile(path):
        return str(json.loads(zipfile.ZipFile(path).read("metadata.json"))["keras_version"])
    import h5py

    version = h5py.File(path).attrs.get("keras_version", "2")
    return version.decode() if isinstance(version, bytes) else str(version)


def opened(path: Path) -> tuple[Any, tuple[int | None, ...]]:
    """Return a function of a float32 batch, and the shape of its input."""
    import tensorflow as tf

    if path.is_dir():
        function = tf.saved_model.load(str(path)).signatures["serving_default"]
        (name, given), *_ = function.structured_input_signature[1].items()
        return lambda batch: next(iter(function(**{name: tf.cast(batch, given.dtype)}).values())), tuple(
            given.shape
        )
    if path.suffix == ".tflite":
        return lite(path)
    if keras_version(path).startswith("2"):
        import tf_keras as keras
    else:
        import keras
    suffix = ".keras" if zipfile.is_zipfile(path) else ".h5"
    copy = Path(sys.argv[3]).with_suffix(suffix)
    copy.write_bytes(path.read_bytes())
    model = keras.models.load_model(copy, compile=False)
    return lambda batch: model(batch, training=False), model.input_shape


def lite(path: Path) -> tuple[Any, tuple[int | None, ...]]:
    """Return the same of a `.tflite` file, image by image."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = []
        for image in batch:
            values = image[None]
            if given["dtype"] != np.float32:
                scale, zero = given["quantization"]
                values = np.clip(
                    np.round(values / scale + zero),
                    *((0, 255) if given["dtype"] == np.uint8 else (-128, 127)),
                )
            interpreter.set_tensor(given["index"], values.astype(given["dtype"]))
            interpreter.invoke()
            row = interpreter.get_tensor(answered["index"])[0]
            scale, zero = answered["quantization"]
            rows.append((row.astype(np.float32) - zero) * scale if scale else row)
        return np.array(rows)

    return run, tuple(int(length) for length in given["shape"])


def probabilities(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (N, classes) of outputs of any usual kind."""
    outputs = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    inside = outputs.min() >= 0 and outputs.max() <= 1 + 1e-3
    if outputs.shape[1] == 1:
        second = outputs if inside else 1 / (1 + np.exp(-outputs))
        return np.concatenate([1 - second, second], axis=1)
    if inside:
        return np.asarray(outputs / np.maximum(outputs.sum(axis=1, keepdims=True), 1e-30))
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def main() -> None:
    """Write the probabilities of each scale."""
    from PIL import Image

    run, shape = opened(Path(sys.argv[1]))
    files = sorted(Path(sys.argv[2]).iterdir())
    is_colour = 3 in (shape[-1], shape[1]) and len(shape) == 4
    pixels = np.stack(
        [np.asarray(Image.open(file).convert("RGB" if is_colour else "L"), np.float32) for file in files]
    )
    pixels = pixels.reshape(len(files), *pixels.shape[1:3], -1)
    results = {}
    for name, scale in SCALES.items():
        if not is_colour and name not in {"unit", "raw", "symmetric"}:
            continue
        batch = np.asarray(scale(pixels), np.float32)
        if len(shape) == 4 and shape[1] in {1, 3} and shape[-1] not in {1, 3}:
            batch = batch.transpose(0, 3, 1, 2)
        batch = (
            batch.reshape(len(files), *[length or -1 for length in shape[1:]])
            if None not in shape[1:]
            else batch
        )
        results[name] = probabilities(
            np.concatenate([np.asarray(run(part)) for part in np.array_split(batch, 10)])
        )
    np.savez(sys.argv[3], **results)  # type: ignore[arg-type]  # its first option is a bool


if __name__ == "__main__":
    main()
