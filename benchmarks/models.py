"""The figures of docs/models.md, from the files: python benchmarks/models.py MODEL... [--photos DIR] [--sheet DIR].

A model of garments: accuracy on the Fashion-MNIST test set, and on the photographs of the people in `photo_split.json`, each from
its file's bytes through the runtime's own way, where a shoe is right as any of Sandal, Sneaker and Ankle boot; by class, light and background. Hats, skirts
and shorts have no class, nor have empty scenes, noise and drawn clutter: the area under the ROC curve says how well their confidence is told apart
from that of the seven. Drawn garments in drawn rooms, which may be shown, make the pictures of the card.

A model of digits: accuracy on the MNIST test set, on photographs of digits of our own strokes, and on photographs of MNIST's
test digits inked on paper; both by pen, contrast and light. Bare sheets, scribbles and surroundings have no digit.

Every share has its 95 % bootstrap interval. --sheet draws successes and failures on drawn photographs.
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
    """Return the share of right answers with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    shares = [rng.choice(right, len(right)).mean() for _ in range(2000)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return f"{right.mean():.2%} [{low:.2%}, {high:.2%}] of {len(right):,}"


def area_under_roc(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """Return the chance that a known picture is the more confident one (Mann-Whitney); ties count half."""
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
        catalogue = datasets.load("mnist" if digits else "fashion-mnist", classifier.passport.input).test
        answers = classifier.probabilities(catalogue.images).argmax(axis=1)
        print(f"  {'MNIST' if digits else 'Fashion-MNIST'} test: {interval(answers == catalogue.labels)}")
        if digits:
            paper(classifier, catalogue, wanted.sheet)
            continue
        by_class(classifier.passport.labels, catalogue.labels, answers)
        rooms(classifier, wanted.sheet)
        if wanted.photos:
            photographs(classifier, wanted.photos)


def by_class(labels: tuple[str, ...], truth: NDArray[np.int64], answers: NDArray[np.int64]) -> None:
    """Print the share of right answers of each class, and what it is taken for most."""
    for index, name in enumerate(labels):
        given = answers[truth == index]
        counts = np.bincount(given, minlength=len(labels))
        most = [f"{labels[other]} {counts[other]}" for other in np.argsort(-counts)[:4] if counts[other]]
        print(f"    {name}: {np.mean(given == index):.1%}; said {', '.join(most)}")


def rooms(classifier: Classifier, sheet: Path | None) -> None:
    """Print what a model of garments makes of drawn ones in drawn rooms, and draw a sheet."""
    photos = room_photos.drawn(_PHOTOS)
    answers = [classifier.classify(photo.data) for photo in photos]
    labels = classifier.passport.labels
    truth = np.array([photo.label for photo in photos])
    given = np.array([labels.index(answer.label) for answer in answers])
    right = given == truth
    print(f"  drawn garments in drawn rooms: {interval(right)}")
    by_class(labels, truth, given)
    if sheet is not None:
        order = [*np.flatnonzero(right)[:20], *np.flatnonzero(~right)[:20]]
        shown = [
            _labelled(
                photos[index].data,
                answers[index].label if right[index] else f"as {answers[index].label}",
                answers[index],
                right=bool(right[index]),
            )
            for index in order
        ]
        write_sheet(sheet / "fashion-rooms.png", shown)


def paper(classifier: Classifier, catalogue: datasets.Split, sheet: Path | None) -> None:
    """Print what a model of digits makes of photographs of paper."""
    known: list[float] = []
    for name, photos in (
        ("our own strokes", paper_photos.drawn(_PHOTOS)),
        (
            "MNIST's test digits, inked",
            paper_photos.inked(catalogue.images[:_PHOTOS], catalogue.labels[:_PHOTOS]),
        ),
    ):
        answers = [classifier.classify(photo.data) for photo in photos]
        right = np.array(
            [answer.label == str(photo.digit) for answer, photo in zip(answers, photos, strict=True)]
        )
        known += [answer.confidence for answer in answers]
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
                _labelled(
                    photos[index].data,
                    f"{photos[index].digit} as {answers[index].label}",
                    answers[index],
                    right=bool(right[index]),
                )
                for index in order
            ]
            write_sheet(sheet / f"digits-{'strokes' if name.startswith('our') else 'mnist'}.png", shown)
    without = [classifier.classify(photo.data).confidence for photo in paper_photos.without(_PHOTOS)]
    print(
        f"  no digit told apart: {area_under_roc(np.array(known), np.array(without)):.3f} area under the ROC curve"
    )


def _labelled(data: bytes, caption: str, answer: Prediction, *, right: bool) -> SheetTile:
    picture = as_uint8(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    return SheetTile(picture, caption, answer.confidence, right)


def photographs(classifier: Classifier, folder: Path) -> None:
    """Print what a model makes of the held-out people's photographs."""
    mapping = photographs_module.read_map(HERE / "photo_map.toml", "photos", classifier.passport.labels)
    paths = sorted(photographs_module.read_held_out(HERE / "photo_split.json"))
    answers = [classifier.classify(guard.read_file(folder / path)) for path in paths]
    kinds = np.array([Path(path).parent.name for path in paths])
    known = np.array([bool(mapping[kind]) for kind in kinds])
    right = np.array(
        [answer.label in mapping[kind] for answer, kind in zip(answers, kinds, strict=True)], bool
    )
    print(f"  photographs, seven classes: {interval(right[known])}")
    for kind in dict.fromkeys(kinds[known]):
        said = Counter(answer.label for answer, one in zip(answers, kinds, strict=True) if one == kind)
        most = ", ".join(f"{label} {count}" for label, count in said.most_common(4))
        print(f"    {kind}: {right[kinds == kind].mean():.1%} of {(kinds == kind).sum()}; said {most}")
    greys = [_grey(guard.read_file(folder / path)) for path in paths]
    by_measure("light (mean level)", [grey.mean() for grey in greys], (85, 140), right, known)
    by_measure(
        "background (deviation at the edges)", [_edges(grey).std() for grey in greys], (20, 45), right, known
    )
    confidence = np.array([answer.confidence for answer in answers])
    unknown = np.array([answer.status is Status.UNKNOWN for answer in answers])
    print(f"  called unknown: {unknown[known].mean():.1%} of the seven")
    others = {"hats, skirts and shorts": (confidence[~known], unknown[~known])}
    for kind in ("empty scenes", "noise", "drawn clutter"):
        foreign = [classifier.classify(photo.data) for photo in room_photos.without(kind, _PHOTOS // 3)]
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
    """Print the share of right answers below, between and above two values."""
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
    """Return the levels of a picture's outer tenth."""
    rim = np.ones(grey.shape, bool)
    down, across = grey.shape[0] // 10, grey.shape[1] // 10
    rim[down:-down, across:-across] = False
    return np.asarray(grey[rim], np.uint8)


if __name__ == "__main__":
    main()
