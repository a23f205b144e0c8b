"""Measure the figures of docs/models.md.

    python benchmarks/models.py MODEL... [--photos DIR] [--sheet DIR]

Models of garments: accuracy on the Fashion-MNIST test set and on the held-out photographs of
`photo_split.json`, which the runtime decodes from their files; a shoe is right as Sandal, Sneaker or Ankle
boot. Photographs are also reported by class, light and background. Hats, skirts, shorts, empty scenes, noise
and drawn clutter are of no known class: the area under the ROC curve shows how well confidence separates them
from the seven known folders. Drawn garments in drawn rooms, which may be published, supply the images of the
model card.

Models of digits: accuracy on the MNIST test set, on photographs of digits drawn from our own strokes, and on
photographs of MNIST's test digits inked on paper, by pen, contrast and light. Bare sheets, scribbles and
other backgrounds contain no digit.

Every accuracy has its 95 % bootstrap interval. --sheet writes contact sheets of correct and wrong
predictions.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paper_photos
import room_photos
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.datasets import photographs as photographs_module
from edge_fm.drawing.contact_sheet import SheetTile, write_sheet
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.classifier import Classifier, Prediction
from edge_fm_runtime.image import guard
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.status import Status

HERE = Path(__file__).resolve().parent
_PHOTOS = 3000


def interval(right: NDArray[np.bool_]) -> str:
    """Return the accuracy with its 95 % bootstrap interval as text."""
    rng = np.random.default_rng(0)
    shares = [rng.choice(right, len(right)).mean() for _ in range(2000)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return f"{right.mean():.2%} [{low:.2%}, {high:.2%}] of {len(right):,}"


def area_under_roc(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """Return the probability that a known image has the higher confidence (Mann-Whitney)."""
    above = (known[:, None] > unknown[None, :]).mean()
    return float(above + (known[:, None] == unknown[None, :]).mean() / 2)


def main() -> None:
    """Print the figures of each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--sheet", type=Path)
    wanted = parser.parse_args()
    if wanted.sheet is not None:
        wanted.sheet.mkdir(parents=True, exist_ok=True)
    for name in wanted.models:
        classifier = Classifier.load(name)
        print(f"{name}: {len(read_model(name)):,} bytes, {classifier.passport.precision.kind}")
        digits = classifier.passport.labels == tuple("0123456789")
        split = datasets.load("mnist" if digits else "fashion-mnist", classifier.passport.input).test
        predictions = classifier.probabilities(split.images).argmax(axis=1)
        print(f"  {'MNIST' if digits else 'Fashion-MNIST'} test: {interval(predictions == split.labels)}")
        if digits:
            paper(classifier, split, wanted.sheet)
            continue
        by_class(classifier.passport.labels, split.labels, predictions)
        rooms(classifier, wanted.sheet)
        if wanted.photos:
            photographs(classifier, wanted.photos)


def by_class(labels: tuple[str, ...], truth: NDArray[np.int64], predictions: NDArray[np.int64]) -> None:
    """Print the accuracy of each class and its most frequent predictions."""
    for index, name in enumerate(labels):
        predicted = predictions[truth == index]
        counts = np.bincount(predicted, minlength=len(labels))
        most = [f"{labels[other]} {counts[other]}" for other in np.argsort(-counts)[:4] if counts[other]]
        print(f"    {name}: {np.mean(predicted == index):.1%}; predicted {', '.join(most)}")


def rooms(classifier: Classifier, sheet: Path | None) -> None:
    """Print the accuracy on drawn garments in drawn rooms, and write a contact sheet."""
    photos = room_photos.draw_garments(_PHOTOS)
    predictions = [classifier.classify(photo.data) for photo in photos]
    labels = classifier.passport.labels
    truth = np.array([photo.label for photo in photos])
    given = np.array([labels.index(answer.label) for answer in predictions])
    right = given == truth
    print(f"  drawn garments in drawn rooms: {interval(right)}")
    by_class(labels, truth, given)
    if sheet is not None:
        order = [*np.flatnonzero(right)[:20], *np.flatnonzero(~right)[:20]]
        shown = [
            _tile(
                photos[index].data,
                predictions[index].label if right[index] else f"as {predictions[index].label}",
                predictions[index],
                right=bool(right[index]),
            )
            for index in order
        ]
        write_sheet(sheet / "fashion-rooms.png", shown)


def paper(classifier: Classifier, split: datasets.Split, sheet: Path | None) -> None:
    """Print the accuracy of a model of digits on photographs of paper."""
    known: list[float] = []
    for name, photos in (
        ("our own strokes", paper_photos.draw_digits(_PHOTOS)),
        (
            "MNIST's test digits, inked",
            paper_photos.ink_digits(split.images[:_PHOTOS], split.labels[:_PHOTOS]),
        ),
    ):
        predictions = [classifier.classify(photo.data) for photo in photos]
        right = np.array(
            [answer.label == str(photo.digit) for answer, photo in zip(predictions, photos, strict=True)]
        )
        known += [answer.confidence for answer in predictions]
        print(f"  photographs of {name}: {interval(right)}")
        for what, edges in (("pen", (0.05, 0.1)), ("contrast", (50, 100)), ("uneven", (0.1, 0.25))):
            value = np.array([getattr(photo, what) for photo in photos])
            parts = np.digitize(value, edges)
            names = (f"below {edges[0]:g}", f"to {edges[1]:g}", "above")
            shares = [
                f"{name}: {right[parts == part].mean():.1%} of {(parts == part).sum()}"
                for part, name in enumerate(names)
                if (parts == part).any()
            ]
            print(f"    {what} {'; '.join(shares)}")
        digits = np.array([photo.digit for photo in photos])
        print("    by digit: " + ", ".join(f"{n} {right[digits == n].mean():.1%}" for n in range(10)))
        if sheet is not None:
            order = [*np.flatnonzero(right)[:20], *np.flatnonzero(~right)[:20]]
            shown = [
                _tile(
                    photos[index].data,
                    f"{photos[index].digit} as {predictions[index].label}",
                    predictions[index],
                    right=bool(right[index]),
                )
                for index in order
            ]
            write_sheet(sheet / f"digits-{'strokes' if name.startswith('our') else 'mnist'}.png", shown)
    without = [classifier.classify(photo.data).confidence for photo in paper_photos.draw_blanks(_PHOTOS)]
    print(
        f"  no digit told apart: {area_under_roc(np.array(known), np.array(without)):.3f} area under the ROC curve"
    )


def _tile(data: bytes, caption: str, answer: Prediction, *, right: bool) -> SheetTile:
    picture = as_uint8(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    return SheetTile(picture, caption, answer.confidence, right)


def photographs(classifier: Classifier, folder: Path) -> None:
    """Print the accuracy on the held-out photographs."""
    mapping = photographs_module.read_map(HERE / "photo_map.toml", "photos", classifier.passport.labels)
    paths = sorted(photographs_module.read_held_out(HERE / "photo_split.json"))
    predictions = [classifier.classify(guard.read_file(folder / path)) for path in paths]
    kinds = np.array([Path(path).parent.name for path in paths])
    known = np.array([bool(mapping[kind]) for kind in kinds])
    right = np.array(
        [answer.label in mapping[kind] for answer, kind in zip(predictions, kinds, strict=True)], bool
    )
    print(f"  photographs, seven classes: {interval(right[known])}")
    for kind in dict.fromkeys(kinds[known]):
        predicted = Counter(
            answer.label for answer, one in zip(predictions, kinds, strict=True) if one == kind
        )
        most = ", ".join(f"{label} {count}" for label, count in predicted.most_common(4))
        print(f"    {kind}: {right[kinds == kind].mean():.1%} of {(kinds == kind).sum()}; predicted {most}")
    greys = [_grey(guard.read_file(folder / path)) for path in paths]
    by_measure("light (mean level)", [grey.mean() for grey in greys], (85, 140), right, known)
    by_measure(
        "background (deviation at the edges)", [_edges(grey).std() for grey in greys], (20, 45), right, known
    )
    confidence = np.array([answer.confidence for answer in predictions])
    unknown = np.array([answer.status is Status.UNKNOWN for answer in predictions])
    print(f"  called unknown: {unknown[known].mean():.1%} of the seven")
    others = {"hats, skirts and shorts": (confidence[~known], unknown[~known])}
    for kind in ("empty scenes", "noise", "drawn clutter"):
        foreign = [classifier.classify(photo.data) for photo in room_photos.draw_unknown(kind, _PHOTOS // 3)]
        others[kind] = (
            np.array([answer.confidence for answer in foreign]),
            np.array([answer.status is Status.UNKNOWN for answer in foreign]),
        )
    for kind, (theirs, called) in others.items():
        area = area_under_roc(confidence[known], theirs)
        print(f"  {kind} told apart: {area:.3f} area under the ROC curve; {called.mean():.1%} called unknown")


def by_measure(
    what: str,
    values: Sequence[float],
    edges: tuple[float, float],
    right: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> None:
    """Print the accuracy below, between and above two values."""
    parts = np.digitize(np.array(values), edges)
    shares = [
        f"{name}: {right[known & (parts == part)].mean():.1%} of {(known & (parts == part)).sum()}"
        for part, name in enumerate((f"below {edges[0]:g}", f"to {edges[1]:g}", "above"))
        if (known & (parts == part)).any()
    ]
    print(f"    {what} {'; '.join(shares)}")


def _grey(data: bytes) -> NDArray[np.uint8]:
    return as_uint8(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4))


def _edges(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the grey levels in the outer tenth of an image."""
    rim = np.ones(grey.shape, bool)
    down, across = grey.shape[0] // 10, grey.shape[1] // 10
    rim[down:-down, across:-across] = False
    return np.asarray(grey[rim], np.uint8)


if __name__ == "__main__":
    main()
