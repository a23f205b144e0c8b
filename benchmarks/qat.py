"""Whether fine-tuning for int8 is worth having: python benchmarks/qat.py OUT [--epochs 10] [--qat 3].

Trains small networks where calibration might not be enough: the CNN of the zoo at a quarter and at a sixteenth of its parameters, and two
of depthwise convolutions. Each is exported with --int8 --qat; the validation part (5,000 pictures that are
neither trained, calibrated nor tuned on) says what each file loses, and how many labels are the source's.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from edge_fm import datasets, runs
from edge_fm.architecture import Architecture, Framework
from edge_fm.fitting import Options, Settings
from edge_fm.training import train
from edge_fm_exporters.framework import import_keras


def narrow(
    widths: tuple[int, int], units: int, shape: tuple[int, int, int], classes: int, options: Options
) -> Any:  # noqa: ANN401  # Keras ships no types
    """Return the CNN of the zoo with other widths."""
    keras = import_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            layers.Conv2D(widths[0], 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(widths[1], 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dropout(options.get("dropout", 0.3)),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def depthwise(widths: tuple[int, ...], shape: tuple[int, int, int], classes: int, options: Options) -> Any:  # noqa: ANN401
    """Return a network of depthwise and pointwise convolutions, each with batch normalisation and ReLU6 (MobileNet)."""
    del options  # it has none
    keras = import_keras()
    layers = keras.layers
    image = keras.Input(shape, name="image")
    x = layers.Conv2D(widths[0], 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU(6)(layers.BatchNormalization()(x))
    for index, width in enumerate(widths[1:]):
        x = layers.DepthwiseConv2D(3, strides=2 if index == 1 else 1, padding="same", use_bias=False)(x)
        x = layers.ReLU(6)(layers.BatchNormalization()(x))
        x = layers.ReLU(6)(layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(x)))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


NETWORKS = {
    "cnn at a quarter": partial(narrow, (16, 32), 50),
    "cnn at a sixteenth": partial(narrow, (8, 16), 25),
    "depthwise": partial(depthwise, (16, 32, 48, 64, 64)),
    "depthwise, narrow": partial(depthwise, (8, 16, 24, 32, 32)),
}


def main() -> None:
    """Train, export, and print what each file loses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--qat", type=int, default=3)
    wanted = parser.parse_args()
    dataset = datasets.load("fashion-mnist")
    print(
        "| network | parameters | float32 | best calibration | drop (95 %) | same label | tuned | drop (95 %) | same label |"
    )
    print("| --- " * 9 + "|")
    for name, build in NETWORKS.items():
        folder = wanted.out / name.replace(" ", "-").replace(",", "")
        parameters = int(build(shape=dataset.spec.shape, classes=10, options={}).count_params())
        if not (folder / runs.RECORD).is_file():
            architecture = Architecture(name, name, dataset.name, parameters, Framework.KERAS, build)
            settings = Settings(epochs=wanted.epochs, patience=3)
            train(architecture, dataset, dataset.name, folder, settings, lambda *_: None)
        target = folder / "tuned.onnx"
        command = [sys.executable, "-m", "edge_fm", "export", str(folder), "--int8", "--qat", str(wanted.qat)]
        subprocess.run(
            [*command, "-o", str(target)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        found = json.loads(target.with_suffix(".candidates.json").read_text())["candidates"]
        tuned = next(entry for entry in found if entry["recipe"] and entry["recipe"]["tuned_epochs"])
        plain = [entry for entry in found if entry["recipe"] and not entry["recipe"]["tuned_epochs"]]
        best = min(plain, key=lambda entry: entry["drop"])
        print(
            f"| {name} | {parameters:,} | {found[0]['accuracy']:.4f} | {_said(best)} | {_said(tuned)} |",
            flush=True,
        )


def _said(entry: dict[str, Any]) -> str:
    low, high = entry["drop_interval"]
    agreement = f"{entry['label_agreement']:.2%}"
    return f"{entry['accuracy']:.4f} | {entry['drop']:+.4f} [{low:+.4f}, {high:+.4f}] | {agreement}"


if __name__ == "__main__":
    main()
