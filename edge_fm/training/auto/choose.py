"""Try the candidates on folds of the training part: heads first, then the edge family.

A network of the edge family is trained anew for every fold, which takes minutes. So it is trained with half
of its steps, on the first fold alone at first, and left out there if it is clearly behind; of two that are
not, the better one is tried on the other folds. That judges it a little worse than it will be.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import Dataset, OpenData
from edge_fm.evaluation import checks
from edge_fm.models import backbones
from edge_fm.models.runs import Run
from edge_fm.training.auto import cost
from edge_fm.training.auto.candidates import (
    CANDIDATES,
    Budget,
    ModelCandidate,
    ModelTrial,
    Right,
    is_behind,
    taken,
)
from edge_fm.training.transfer import head as heads
from edge_fm.training.transfer.feature_cache import FeatureCache
from edge_fm.training.transfer.features import FeatureExtractor
from edge_fm_exporters.evidence.findings import MeasuredAccuracy
from edge_fm_runtime.errors import DataError

FOLDS = 3
"""Folds of the training part for networks of the edge family; heads have five."""

_STEPS = 0.5
"""Share of the usual steps in a fold."""

_CLEARLY = 2.0
"""Standard errors behind the best from which a network is not tried on further folds."""

_MOST = 2000
"""Training pictures that the candidates are tried on; more tell models apart no better, and take memory."""

_TESTED = 20
"""Test pictures that are loaded beside them; nothing is measured on them."""

_NOTHING: frozenset[str] = frozenset()

Report = Callable[[int, int, str], None]
"""Called with (candidates done, candidates of all, what is tried now)."""


@dataclass(frozen=True)
class Choice:
    """The model to train.

    Attributes:
        trial: what was found of it.
        reason: why it was taken.
        trials: what was found of every candidate.
    """

    trial: ModelTrial
    reason: str
    trials: tuple[ModelTrial, ...]

    def recorded(self, run: Run) -> Run:
        """Return a run with the accuracy of the cross-validation, where its training made none.

        With it, a small test part is no reason to measure again.
        """
        if self.trial.part is None or "folds" in run.measured:
            return run
        each = {f"accuracy_{number}": value for number, value in enumerate(self.trial.each, 1)}
        return replace(
            run,
            scores={"folds": {"accuracy": self.trial.part.value, **each}, **run.scores},
            measured={"folds": self.trial.part, **run.measured},
            findings=tuple(
                found for found in run.findings if found.remedy not in checks.MEASURE_MORE_REMEDIES
            ),
        )


def choose(
    pictures: OpenData, budget: Budget, cache: Path | None, report: Report, *, flip: bool | None = None
) -> Choice:
    """Try the candidates on the training part, and take the smallest that is as good as the best.

    Args:
        pictures: an open folder; its test part is not looked at.
        budget: limits of the model.
        cache: folder of the feature cache; None keeps none.
        report: called with progress.
        flip: whether mirror images are trained on; None lets the cross-validation of a head decide.

    Raises:
        DataError: no candidate is within the budget and can be trained here.
    """
    pictures = _sampled(pictures)
    trials: dict[ModelCandidate, ModelTrial] = {}
    for number, candidate in enumerate(CANDIDATES):
        report(number, len(CANDIDATES), str(candidate))
        load = replace(pictures, spec=candidate.spec).load
        if candidate.is_edge:
            heads_tried = [trial for trial in trials.values() if trial.right is not None]
            mirrored = _flip(heads_tried) if flip is None else flip
            trials[candidate] = _first_fold(candidate, load, budget, _best(trials), flip=mirrored)
        else:
            trials[candidate] = _cross_validated(candidate, load, budget, cache, flip=flip)
    _finish_edge(pictures, trials, lambda text: report(len(CANDIDATES), len(CANDIDATES), text))
    found = taken(list(trials.values()))
    if found is None:
        notes = "; ".join(f"{trial.candidate}: {trial.note}" for trial in trials.values())
        raise DataError(
            f"no model can be trained within the budget here ({notes}): raise --max-kb or --max-ms"
        )
    return Choice(found[0], found[1], tuple(trials.values()))


def _sampled(pictures: OpenData) -> OpenData:
    """Return a folder with at most `_MOST` of its training pictures, the same ones for every candidate."""
    folder = pictures.source
    if isinstance(folder, Dataset):
        return pictures
    few = replace(folder, train=folder.train.sample(_MOST), test=folder.test.sample(_TESTED))
    return replace(pictures, source=few)


def _cross_validated(
    candidate: ModelCandidate,
    load: Callable[[], Dataset],
    budget: Budget,
    cache: Path | None,
    *,
    flip: bool | None,
) -> ModelTrial:
    """Return the trial of a head on a pretrained network."""
    try:
        size = candidate.size if candidate.model == backbones.WHOLE else None
        backbone = backbones.load(candidate.model, size)
    except DataError:
        return ModelTrial(candidate=candidate, note="not installed: sh setup.sh transfer")
    dataset = load()
    price = cost.of_backbone(backbone, len(dataset.class_names))
    if excess := price.excess(budget):
        return ModelTrial(candidate=candidate, cost=price, note=excess)
    extractor = FeatureExtractor(backbone, FeatureCache(backbone, cache))
    features = extractor.compute(dataset.train.images)
    mirrored = None
    if flip is not False:
        mirrored = extractor.compute(np.ascontiguousarray(dataset.train.images[:, :, ::-1]))
    labels = dataset.train.labels
    folds = heads.cross_validated(features, labels, dataset.groups, mirrored=mirrored, flip=flip)
    predicted = folds.probabilities.argmax(axis=1)
    return ModelTrial(
        candidate=candidate,
        cost=price,
        right=predicted == labels,
        each=folds.each,
        part=MeasuredAccuracy.of(predicted, labels),
        flip=folds.flip,
    )


def _first_fold(
    candidate: ModelCandidate,
    load: Callable[[], Dataset],
    budget: Budget,
    best: ModelTrial | None,
    *,
    flip: bool,
) -> ModelTrial:
    """Return the trial of a network on the first fold, with a note if it is left out."""
    if importlib.util.find_spec("tensorflow") is None:
        return ModelTrial(candidate=candidate, note="needs TensorFlow: sh setup.sh train")
    dataset = load()
    price = cost.of_edge(candidate, len(dataset.class_names))
    if excess := price.excess(budget):
        return ModelTrial(candidate=candidate, cost=price, note=excess)
    try:
        dataset.require_folds(FOLDS)
    except DataError:
        return ModelTrial(candidate=candidate, cost=price, note="too few pictures for folds")
    indices = next(dataset.fold_indices(FOLDS, 0))
    right, part = _on_fold(candidate, dataset, indices, flip=flip)
    behind = (
        best is not None and best.right is not None and is_behind(right, best.right[indices[1]], _CLEARLY)
    )
    return ModelTrial(
        candidate=candidate,
        cost=price,
        first=right,
        each=(part.value,),
        part=part,
        flip=flip,
        note=f"one fold of {FOLDS}, clearly behind" if behind else "",
    )


def _finish_edge(
    pictures: OpenData, trials: dict[ModelCandidate, ModelTrial], report: Callable[[str], None]
) -> None:
    """Try the better of the networks that are not clearly behind on the other folds too."""
    open_ones = [trial for trial in trials.values() if trial.first is not None and not trial.note]
    if not open_ones:
        return
    trial = max(open_ones, key=lambda trial: trial.each[0])
    for other in open_ones:
        trials[other.candidate] = replace(other, note=f"one fold of {FOLDS}")
    candidate = trial.candidate
    report(f"{candidate}, other folds")
    dataset = replace(pictures, spec=candidate.spec).load()
    right = np.zeros(len(dataset.train), bool)
    each = []
    for number, indices in enumerate(dataset.fold_indices(FOLDS, 0)):
        if number == 0 and trial.first is not None:
            right[indices[1]] = trial.first
            each.append(trial.each[0])
            continue
        right[indices[1]], part = _on_fold(candidate, dataset, indices, flip=trial.flip)
        each.append(part.value)
    labels = dataset.train.labels
    whole = MeasuredAccuracy(int(right.sum()), len(labels), int(np.bincount(labels).max()))
    trials[candidate] = replace(trial, right=right, each=tuple(each), part=whole, note="")


def _on_fold(
    candidate: ModelCandidate,
    dataset: Dataset,
    indices: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    flip: bool,
) -> tuple[Right, MeasuredAccuracy]:
    """Train a network on the rest of a fold, and return which pictures of the fold it gets right."""
    from edge_fm.training.edge.settings import EdgeSettings, fitted
    from edge_fm.training.edge.train import train_candidate

    rest, fold = (dataset.train.take(part) for part in indices)
    usual = EdgeSettings()
    variation = replace(usual.mix.variation, flip=flip)
    settings = fitted(replace(usual, mix=replace(usual.mix, variation=variation)), _NOTHING, len(rest))
    settings = replace(settings, epochs=max(1, round(settings.epochs * _STEPS)))
    answers = train_candidate(rest, fold, len(dataset.class_names), settings, candidate.model)
    predicted = answers.argmax(axis=1).astype(np.int64)
    return predicted == fold.labels, MeasuredAccuracy.of(predicted, fold.labels)


def _best(trials: dict[ModelCandidate, ModelTrial]) -> ModelTrial | None:
    """Return the best trial on all pictures so far."""
    whole = [(trial, trial.right) for trial in trials.values() if trial.right is not None]
    return max(whole, key=lambda pair: float(pair[1].mean()))[0] if whole else None


def _flip(tried: list[ModelTrial]) -> bool:
    """Return whether mirror images helped the best head; they do for most things."""
    best = max(tried, key=lambda trial: trial.part.value if trial.part else 0.0, default=None)
    return best.flip if best is not None else True
