"""Find scale, polarity and fit of a network's training pictures, where its file does not state them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import (
    LIKELY,
    LIKELY_IN_COLOUR,
    OPTIONS,
    STANDARDS,
    Scale,
    parse_scale,
)
from edge_fm_exporters.normalization.trials import Trial, measure, ranked, reason, turned
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Fit, Interpolation, Polarity, Preprocess
from edge_fm_runtime.errors import ExportError, ModelError

ENOUGH = 1000
"""Training pictures that a recipe is judged on."""

_FEW = 128
"""Training pictures on which the clearly worse recipes are dropped, so that a large network is tried soon."""

_CLEARLY = 3.0
"""Standard errors of a difference in accuracy beyond which a recipe is dropped on few pictures."""

DEFAULT_FIT = Fit.STRETCH
"""Fit of a network that nothing is known of: Keras' own loaders of pictures stretch."""

_DEFAULT_FIT_REASON = (
    f"fit: {DEFAULT_FIT}, as Keras' own loaders do, for the model file does not say; --fit letterbox or --fit crop "
    "if its pictures were brought to its size otherwise"
)

_DEFAULT_POLARITY_REASON = (
    "polarity: as-is, for the model file does not say; --polarity invert if the images on the device are the "
    "negatives of those in training"
)

LoadImages = Callable[[Fit], LabelledImages]
"""Returns training pictures, shuffled, brought to the network's size by a fit, and not inverted."""


@dataclass(frozen=True, kw_only=True)
class KnownRecipe:
    """Facts about the training pictures that need no search; None where unknown.

    Attributes:
        scale: pixel scale, as in `--scale`.
        fit: how pictures of other shapes were brought to the network's size.
        polarity: whether pictures are inverted.
        interpolation: filter that shrank them; nothing but a network's structure tells it.
    """

    scale: str | None = None
    fit: Fit | None = None
    polarity: Polarity | None = None
    interpolation: Interpolation = Interpolation.AREA

    @property
    def complete(self) -> bool:
        """Whether pictures could add nothing, not even a mean and deviation."""
        return None not in {self.scale, self.fit, self.polarity} and self.scale not in STANDARDS


@dataclass(frozen=True, kw_only=True)
class FoundRecipe:
    """Recipe of a network's training pictures.

    Attributes:
        scale: pixel scale.
        preprocess: fit and polarity.
        scales: trials of scales and polarities, the best first; empty if they were known.
        fits: trials of fits, the best first; empty if the fit was known or makes no difference.
        reasons: why each part that was not given was taken, a line each.
    """

    scale: Scale
    preprocess: Preprocess
    scales: tuple[Trial, ...] = ()
    fits: tuple[Trial, ...] = ()
    reasons: tuple[str, ...] = ()


def find_recipe(source: SourceModel, load_images: LoadImages | None, known: KnownRecipe) -> FoundRecipe:
    """Return the recipe of a network's training pictures, tried on labelled pictures where it is unknown.

    Of the recipes that are not less accurate than the best beyond chance, the one with the least
    cross-entropy is taken; `standard`, which depends on the pictures, only if no other is left.

    Args:
        source: the network.
        load_images: loads pictures such as it was trained on; None if there are none.
        known: what is known.

    Raises:
        ExportError: the scale is unknown, and there are no labelled pictures or no scale is better than
            chance.
        ModelError: the pictures have another shape than the network's, or more classes.
    """
    if load_images is not None and known.complete:
        load_images = None
    fit = known.fit or DEFAULT_FIT
    pictures = load_images(fit) if load_images is not None else None
    if load_images is None or pictures is None or pictures.labels is None:
        return _untried(source, pictures, known)
    _check_fits(source, pictures)
    scales = _try_scales(source, pictures, fit, known)
    scale, polarity, reasons = _take_scale(source, pictures, scales, known)
    tried = (scale, fit, polarity)
    fits = () if known.fit is not None else _try_fits(source, load_images, tried, pictures)
    if fits and fits[0].accuracy > least_accuracy(source.classes):
        reasons += (reason("fit", fits, [trial.fit for trial in fits]),)
        scale, fit = fits[0].scale, fits[0].fit
    elif known.fit is None:
        reasons += (_DEFAULT_FIT_REASON,)
    preprocess = Preprocess(fit=fit, polarity=polarity, interpolation=known.interpolation)
    return FoundRecipe(scale=scale, preprocess=preprocess, scales=scales, fits=fits, reasons=reasons)


def least_accuracy(classes: int) -> float:
    """Return the accuracy that a trained network exceeds: a quarter of the way from chance to 1.

    An untrained network separates some classes by chance, the more so the more scales are tried.
    """
    chance = 1 / classes
    return chance + (1 - chance) / 4


def _check_fits(source: SourceModel, pictures: LabelledImages) -> None:
    if pictures.images.shape[1:] != source.spec.shape:
        raise ModelError(
            f"{source.path} takes pictures of {source.spec.shape}, and {pictures.name} has {pictures.images.shape[1:]}"
        )
    if pictures.labels is not None and pictures.labels.max() >= source.classes:
        raise ModelError(
            f"{pictures.name} has {pictures.labels.max() + 1} classes, {source.path} {source.classes}"
        )


def _untried(source: SourceModel, pictures: LabelledImages | None, known: KnownRecipe) -> FoundRecipe:
    """Return what is known, with the defaults for the rest."""
    if known.scale is None:
        raise ExportError(
            f"{source.path} does not say what its pixels were in training: give {OPTIONS}; "
            "or --data DATA, on whose training pictures they are tried"
        )
    return FoundRecipe(
        scale=parse_scale(known.scale, pictures.images if pictures is not None else None),
        preprocess=Preprocess(
            fit=known.fit or DEFAULT_FIT,
            polarity=known.polarity or Polarity.AS_IS,
            interpolation=known.interpolation,
        ),
        reasons=(
            *(() if known.fit is not None else (_DEFAULT_FIT_REASON,)),
            *(() if known.polarity is not None else (_DEFAULT_POLARITY_REASON,)),
        ),
    )


def _try_scales(
    source: SourceModel, pictures: LabelledImages, fit: Fit, known: KnownRecipe
) -> tuple[Trial, ...]:
    """Return the trials of scales and polarities, the best first; none if both are known."""
    if known.scale is not None and known.polarity is not None:
        return ()
    recipes = [(scale, fit, polarity) for scale, polarity in _likely(source, pictures, known)]
    few = [measure(source, pictures, recipe, _FEW) for recipe in recipes]
    best = max(few, key=lambda trial: trial.accuracy)
    dropped = [trial.is_less_accurate(best, _CLEARLY) for trial in few]
    enough = [
        measure(source, pictures, recipe, ENOUGH)
        for recipe, drop in zip(recipes, dropped, strict=True)
        if not drop
    ]
    worse = [trial for trial, drop in zip(few, dropped, strict=True) if drop]
    return ranked(enough) + tuple(sorted(worse, key=lambda trial: -trial.accuracy))


def _likely(
    source: SourceModel, pictures: LabelledImages, known: KnownRecipe
) -> list[tuple[Scale, Polarity]]:
    """Return the scales and polarities to try."""
    likely = LIKELY if source.spec.channels == 1 else LIKELY_IN_COLOUR
    names = (known.scale,) if known.scale is not None else likely
    polarities = (known.polarity,) if known.polarity is not None else tuple(Polarity)
    found = []
    for name, polarity in product(names, polarities):
        try:
            found.append((_scale_on(name, pictures, polarity), polarity))
        except ExportError:
            if known.scale is not None:
                raise
            # Pictures with a channel of one shade have no deviation to standardise with.
    return found


def _take_scale(
    source: SourceModel, pictures: LabelledImages, trials: tuple[Trial, ...], known: KnownRecipe
) -> tuple[Scale, Polarity, tuple[str, ...]]:
    """Return the scale and polarity of the best trial, or the known ones, and why.

    Raises:
        ExportError: no scale is better than chance.
    """
    if trials and trials[0].accuracy > least_accuracy(source.classes):
        what = "polarity" if known.scale is not None else "pixels in training"
        names = [str(trial.polarity) if known.scale is not None else trial.name for trial in trials]
        return trials[0].scale, trials[0].polarity, (reason(what, trials, names),)
    if known.scale is None:
        likely = dict.fromkeys(
            name for name in LIKELY_IN_COLOUR for trial in trials if trial.scale.name == name
        )
        best = {name: max(trial.accuracy for trial in trials if trial.scale.name == name) for name in likely}
        said = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in best.items())
        raise ExportError(
            f"{source.path} is right on {pictures.name} no more often than by chance, whatever its pixels were, "
            f"inverted or not ({said}): give the data that it was trained on, or {OPTIONS}"
        )
    polarity = known.polarity or Polarity.AS_IS
    reasons = () if known.polarity is not None else (_DEFAULT_POLARITY_REASON,)
    return _scale_on(known.scale, pictures, polarity), polarity, reasons


def _try_fits(
    source: SourceModel, load_images: LoadImages, found: tuple[Scale, Fit, Polarity], pictures: LabelledImages
) -> tuple[Trial, ...]:
    """Return the trials of fits, the best first; none if no picture differs between them."""
    scale, own_fit, polarity = found
    others = []
    for fit in Fit:
        fitted = pictures if fit is own_fit else load_images(fit)
        if np.array_equal(fitted.images, pictures.images):
            continue
        # The bars of a letterbox are among the pixels that `standard` takes its mean of.
        own = _scale_on(scale.name, fitted, polarity)
        others.append(measure(source, fitted, (own, fit, polarity), ENOUGH))
    return ranked([measure(source, pictures, found, ENOUGH), *others]) if others else ()


def _scale_on(name: str, pictures: LabelledImages, polarity: Polarity) -> Scale:
    """Return a scale by its name; pictures are inverted only where their mean is asked for."""
    return parse_scale(name, turned(pictures.images, polarity) if name in STANDARDS else None)
