"""Draw the images of one epoch: product images, camera scenes, drawings, photographs, backgrounds.

Everything is drawn anew from (seed, epoch), so any epoch can be had again without those before it, and the
next ones can be drawn while this one is trained on (`prefetch.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_fm.augmentation import backgrounds, paper, transforms
from edge_fm.augmentation.transforms import Grey, Picture, Variation
from edge_fm.datasets import Split
from edge_fm.datasets.photographs import Photographs, SoftLabels
from edge_fm.training.edge.folds import Folds

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mix:
    """Composition of an epoch.

    Attributes:
        repeats: times that each data set picture is shown in an epoch, varied anew; for small data sets.
        views: of each photograph.
        mixup: fraction of the views that are mixed with another photograph's view, in [0, 1].
        scenes: data set pictures as a camera sees them, as a share of the data set.
        drawn: pictures drawn by our own code, as a share of the data set.
        empties: pictures of nothing, as a share of the data set.
        variation: how far pictures are varied.
    """

    repeats: int = 1
    views: int = 4
    mixup: float = 0.5
    scenes: float = 0.16
    drawn: float = 0.0
    empties: float = 0.04
    variation: Variation = field(default_factory=Variation)


@dataclass(frozen=True)
class Scenery:
    """Surroundings in which a camera sees a data set's objects.

    Attributes:
        scene: returns a data set's square picture as a camera sees it.
        empty: returns a grey picture of the given size with nothing to classify.
        drawn: returns a drawn picture of a class and a size; None where our own code cannot draw the classes.
    """

    scene: Callable[[Picture, Variation, np.random.Generator], Picture]
    empty: Callable[[int, np.random.Generator], Grey]
    drawn: Callable[[int, int, Variation, np.random.Generator], Grey] | None = None


def _no_object(size: int, rng: np.random.Generator) -> Grey:
    return backgrounds.clutter(size, rng) if rng.integers(2) else backgrounds.empty_scene(size, rng)


ROOM = Scenery(backgrounds.scene, _no_object)
"""Things in front of a wall, a floor, or anything."""

PAPER = Scenery(paper.ink_digit, paper.blank_sheet, paper.draw_digit)
"""Digits on sheets of paper; classes 0 to 9."""


@dataclass(frozen=True)
class TrainingImages:
    """Images to train on and to validate on.

    Attributes:
        product_images: the data set's training part, without its validation part.
        photographs: for training, if there are any.
        validation: validation images by name, each (N, H, W, C) uint8 with (N, classes) bool of allowed
            classes.
        classes: how many the model tells apart.
        scenery: what a camera sees them in.
        folds: which fold each is of, where a teacher asks that.
    """

    product_images: Split
    photographs: Photographs | None
    validation: dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]
    classes: int
    scenery: Scenery = ROOM
    folds: Folds | None = None

    def count(self, mix: Mix) -> int:
        """Return how many pictures an epoch has."""
        return count_pictures(
            mix, len(self.product_images), len(self.photographs.contents) if self.photographs else 0
        )


def count_pictures(mix: Mix, product_images: int, photographs: int = 0) -> int:
    """Return how many pictures an epoch has of so many data set pictures and photographs."""
    shown = product_images * mix.repeats
    shares = (mix.scenes, mix.empties, mix.drawn)
    return shown + sum(round(shown * share) for share in shares) + photographs * mix.views


def camera_views(
    split: Split, classes: int, scenery: Scenery, variation: Variation, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a split's pictures as a camera sees them, and drawn ones of the same classes if there can be.

    Returns:
        (N, H, W, 1) uint8 and (N, classes) bool of allowed classes.
    """
    rng = np.random.default_rng([seed, len(split)])
    size = split.images.shape[1]
    seen = [scenery.scene(image, variation, rng) for image in split.images[..., 0]]
    allowed = [np.eye(classes, dtype=bool)[split.labels]]
    if scenery.drawn is not None:
        seen += [scenery.drawn(int(value), size, variation, rng) for value in split.labels]
        allowed *= 2
    return np.stack(seen)[..., np.newaxis], np.concatenate(allowed)


@dataclass(frozen=True)
class EpochImages:
    """The pictures of an epoch, in random order.

    Attributes:
        images: (N, H, W, C) uint8.
        allowed: (N, classes) float32 of zeros and ones.
        answers: what another model holds each to be, a row of zeros where it was not asked; None if there is
            no such model.
        folds: (N,) int32, the fold of what each shows, any where it shows nothing that was trained on; None
            if nobody asks.
    """

    images: NDArray[np.uint8]
    allowed: Floats
    answers: SoftLabels | None = None
    folds: NDArray[np.int32] | None = None


def draw_epoch(material: TrainingImages, mix: Mix, seed: int, epoch: int) -> EpochImages:
    """Return the pictures of an epoch; the same for the same arguments."""
    rng = np.random.default_rng([seed, epoch])
    vary, source = mix.variation, material.product_images
    size = source.images.shape[1]
    eye = np.eye(material.classes, dtype=np.float32)
    is_grey = source.images.shape[-1] == 1
    pictures = source.images[..., 0] if is_grey else source.images
    shown = np.tile(np.arange(len(source)), mix.repeats)
    images = [transforms.product_view(pictures[index], vary, rng) for index in shown]
    allowed = [eye[source.labels[shown]]]
    folds = material.folds
    of = [folds.product_images[shown]] if folds else []
    chosen = shown[rng.choice(len(shown), round(len(shown) * mix.scenes), replace=False)]
    images += [material.scenery.scene(pictures[index], vary, rng) for index in chosen]
    allowed.append(eye[source.labels[chosen]])
    empties = [material.scenery.empty(size, rng) for _ in range(round(len(shown) * mix.empties))]
    images += empties if is_grey else [backgrounds.tinted(picture, rng) for picture in empties]
    allowed.append(np.zeros((len(empties), material.classes), np.float32))
    if material.scenery.drawn is not None:
        values = rng.integers(material.classes, size=round(len(shown) * mix.drawn))
        images += [material.scenery.drawn(int(value), size, vary, rng) for value in values]
        allowed.append(eye[values])
    if folds:
        of += [folds.product_images[chosen], _any_fold(folds, len(images) - len(shown) - len(chosen))]
    asked = material.photographs.soft_labels if material.photographs else None
    shares = [np.zeros((len(images), len(asked.folder_classes)), np.float32)] if asked else []
    if material.photographs is not None:
        for _ in range(mix.views):
            views = np.stack(
                [
                    transforms.photograph_view(content, size, vary, rng)
                    for content in material.photographs.contents
                ]
            )
            views, may_be, held = _mixup(views, material.photographs, mix.mixup, rng)
            images += list(views)
            allowed.append(may_be.astype(np.float32))
            if held is not None:
                shares.append(held)
            if folds and folds.photographs is not None:
                of.append(folds.photographs)
    order = rng.permutation(len(images))
    stacked = np.stack([images[index] for index in order]).reshape(len(images), *source.images.shape[1:])
    answers = SoftLabels(np.concatenate(shares)[order], asked.folder_classes) if asked else None
    return EpochImages(
        stacked, np.concatenate(allowed)[order], answers, np.concatenate(of)[order] if folds else None
    )


def _any_fold(folds: Folds, count: int) -> NDArray[np.int32]:
    """Return a fold for each of so many pictures that no network has seen."""
    return (np.arange(count) % folds.count).astype(np.int32)


def _mixup(
    views: NDArray[np.uint8], photographs: Photographs, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Floats | None]:
    """Blend a share of the views with another each: what is seen then may be any class of the two.

    Two of which just one is of a class that the model knows stay as they are. After Zhang et al., 2017,
    arXiv:1710.09412, whose mixture of the labels the other model's answers get.
    """
    allowed = photographs.allowed
    partners = rng.permutation(len(views))
    alike = allowed.any(axis=1) == allowed[partners].any(axis=1)
    chosen = np.flatnonzero(alike & (rng.random(len(views)) < share))
    others = partners[chosen]
    weights = rng.uniform(0.5, 1, (len(chosen), 1, 1)).astype(np.float32)
    blended, may_be = views.copy(), allowed.copy()
    blended[chosen] = np.rint(weights * views[chosen] + (1 - weights) * views[others]).astype(np.uint8)
    may_be[chosen] |= allowed[others]
    if photographs.soft_labels is None:
        return blended, may_be, None
    held, parts = photographs.soft_labels.probabilities.copy(), weights[:, :, 0]
    held[chosen] = parts * held[chosen] + (1 - parts) * photographs.soft_labels.probabilities[others]
    return blended, may_be, held
