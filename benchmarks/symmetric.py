"""What a network that is its own mirror image brings: python benchmarks/symmetric.py OUT [--epochs 10] [--images 60000].

Trains `edge-nano` as it is, and one that is symmetric by construction, with as many parameters (a hundred more) and at most as many multiplications as `edge-nano` has for a
picture together with its mirror image (`edge-fm export --mirror`): on Fashion-MNIST alone, by the recipe, without a teacher, from the same seed.
The validation part says what each gets right of the picture alone and of both, and 20,000 of the training pictures how much it has learnt.

The symmetric one sees the picture and its mirror image side by side, with the same kernels, and each convolution sees of both sides what the other has
at the same place of the picture; so mirroring the input exchanges the sides and moves no answer. Cohen and Welling, "Group
Equivariant Convolutional Networks", 2016, arXiv:1602.07576, for the group of one reflection.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm import datasets, edge, recipe
from edge_fm.datasets import Split
from edge_fm.recipe_settings import VALIDATION_SHARE, Settings
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.inputs import InputSpec

Sides = list[Any]
"""What is made of the picture, and of its mirror image."""

NAME = "edge-nano"
NARROWER = edge.Width(8, 14, 23, full_blocks=2)
"""Each convolution has twice the input channels: widths divided by the root of two leave the parameters those of `edge-nano`."""


def symmetric(width: edge.Width, spec: InputSpec, classes: int, name: str) -> Any:  # noqa: ANN401  # Keras ships no types
    """Return a network of the `edge` family that answers a picture and its mirror image alike; see `edge.build`."""
    keras = import_keras()
    layers = keras.layers

    def mirrored(x: Any) -> Any:  # noqa: ANN401
        return keras.ops.flip(x, axis=2)

    def each(layer: Any, sides: Sides) -> Sides:  # noqa: ANN401
        return [layer(side) for side in sides]

    def with_the_other(sides: Sides) -> Sides:
        """Return each side beside what the other has at the same places."""
        one, other = sides
        return [layers.Concatenate()([one, mirrored(other)]), layers.Concatenate()([other, mirrored(one)])]

    def convolution(sides: Sides, channels: int, kernel: int = 3) -> Sides:
        sides = each(layers.Conv2D(channels, kernel, padding="same", use_bias=False), sides)
        return each(layers.BatchNormalization(), sides)

    def block(sides: Sides, channels: int, strides: int) -> Sides:
        seen = with_the_other(sides)
        if strides > 1:  # every second pixel from the left is not every second one from the right
            seen = each(layers.AveragePooling2D(strides), seen)
        inner = convolution(with_the_other(each(layers.ReLU(), convolution(seen, channels))), channels)
        if strides > 1 or sides[0].shape[-1] != channels:
            sides = convolution(seen, channels, kernel=1)
        return each(layers.ReLU(), [layers.Add()(pair) for pair in zip(sides, inner, strict=True)])

    image = keras.Input(spec.shape, name="image")
    sides = each(layers.ReLU(), convolution([image, mirrored(image)], width.stem))
    for _ in range(width.full_blocks):
        sides = block(sides, width.stem, 1)
    sides = each(layers.MaxPooling2D(), sides)
    behind = (
        [(width.middle, 1)] * width.middle_blocks
        + [(width.top, 2)]
        + [(width.top, 1)] * (width.top_blocks - 1)
    )
    for channels, strides in behind:
        sides = block(sides, channels, strides)
    size = sides[0].shape[1:3]
    near_the_average = keras.initializers.RandomNormal(1 / np.prod(size), 0.5 / np.prod(size))
    weighed = layers.DepthwiseConv2D(size, use_bias=False, depthwise_initializer=near_the_average)
    sides = each(layers.BatchNormalization(), each(weighed, with_the_other(sides)))
    x = layers.Average()(each(layers.Flatten(), sides))
    return keras.Model(
        image,
        layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x),
        name=name,
    )


@contextmanager
def built(width: edge.Width, builder: Any) -> Iterator[None]:  # noqa: ANN401
    """Have the recipe train another network in the place of `edge-nano`."""
    before = edge.WIDTHS[NAME], edge.build
    edge.WIDTHS[NAME], edge.build = width, builder
    try:
        yield
    finally:
        edge.WIDTHS[NAME], edge.build = before


def figures(model: Any, part: Split) -> str:  # noqa: ANN401
    """Return accuracy and log loss of the picture alone, and of the mean with its mirror image, as cells of a table."""
    pictures = part.images.astype(np.float32) / 255
    alone, turned = (
        model.predict(np.ascontiguousarray(seen), batch_size=500, verbose=0)
        for seen in (pictures, pictures[:, :, ::-1])
    )
    cells = []
    for answers in (alone, (alone + turned) / 2):
        loss = -np.log(answers[np.arange(len(part.labels)), part.labels]).mean()
        cells.append(f"{(answers.argmax(axis=1) == part.labels).mean():.2%}, {loss:.3f}")
    return " | ".join(cells)


def main() -> None:
    """Train both, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, help="of the training part; all by default")
    wanted = parser.parse_args()
    dataset = datasets.load("fashion-mnist")
    if wanted.images:
        dataset = datasets.limited(dataset, wanted.images, len(dataset.test))
    settings = Settings(epochs=wanted.epochs)
    training, validation = dataset.split_validation(VALIDATION_SHARE, settings.seed)
    learnt = Split(training.images[:20_000], training.labels[:20_000])
    print(
        "| network | parameters | alone | with its mirror image | training alone | with its mirror image | seconds |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, width, builder in (
        (NAME, edge.WIDTHS[NAME], edge.build),
        ("symmetric", NARROWER, symmetric),
    ):
        folder = wanted.out / name
        with built(width, builder):
            run = recipe.train_run(
                NAME, recipe.Sources(dataset, None), dataset.name, folder, settings, lambda *_: None
            )
        model = import_keras().saving.load_model(folder / "model.keras", compile=False)
        print(
            f"| {name} | {model.count_params():,} | {figures(model, validation)} | {figures(model, learnt)} | {run.seconds:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
