"""The figures of docs/models.md, from the files: python benchmarks/models.py MODEL... [--photos DIR] [--sheet DIR].

A model of garments: accuracy on the Fashion-MNIST test set, and on the photographs of the people in `photo_split.json`, each from
its file's bytes through the runtime's own way, where a shoe is right as any of Sandal, Sneaker and Ankle boot. Hats, skirts and shorts have
no class: the area under the ROC curve says how well their confidence is told apart from that of the other seven.

A model of digits: accuracy on the MNIST test set, on photographs of digits of our own strokes, and on photographs of MNIST's
test digits inked on paper; both by pen, contrast and light. Bare sheets, scribbles and surroundings have no digit.

Every share has its 95 % bootstrap interval. --sheet draws successes and failures of the digits.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import paper_photos
from numpy.typing import NDArray
from paper_photos import Photo

from edge_fm import datasets, mixture
from edge_fm.contact_sheet import Labelled, write_sheet
from edge_fm_runtime import guard
from edge_fm_runtime.classifier import Classifier, Prediction
from edge_fm_runtime.modelfile import read_model
from edge_fm_runtime.opencv import as_uint8, cv2

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
    for name in wanted.models:
        classifier = Classifier.load(name)
        print(f"{name}: {len(read_model(name)):,} bytes, {classifier.passport.precision.kind}")
        digits = classifier.passport.labels == tuple("0123456789")
        catalogue = datasets.load("mnist" if digits else "fashion-mnist").test
        answers = classifier.probabilities(catalogue.images).argmax(axis=1)
        print(f"  {'MNIST' if digits else 'Fashion-MNIST'} test: {interval(answers == catalogue.labels)}")
        if digits:
            paper(classifier, catalogue, wanted.sheet)
        elif wanted.photos:
            photographs(classifier, wanted.photos)


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
            shown = [_labelled(photos[index], answers[index], right=bool(right[index])) for index in order]
            write_sheet(sheet / f"digits-{'strokes' if name.startswith('our') else 'mnist'}.png", shown)
    without = [classifier.classify(photo.data).confidence for photo in paper_photos.without(_PHOTOS)]
    print(
        f"  no digit told apart: {area_under_roc(np.array(known), np.array(without)):.3f} area under the ROC curve"
    )


def _labelled(photo: Photo, answer: Prediction, *, right: bool) -> Labelled:
    picture = as_uint8(cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_COLOR))
    return Labelled(picture, f"{photo.digit} as {answer.label}", answer.confidence, right)


def photographs(classifier: Classifier, folder: Path) -> None:
    """Print what a model makes of the held-out people's photographs."""
    mapping = mixture.read_map(HERE / "photo_map.toml", "photos", classifier.passport.labels)
    right: dict[str, list[bool]] = defaultdict(list)
    confidence: dict[bool, list[float]] = {True: [], False: []}
    said: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in sorted(mixture.read_held_out(HERE / "photo_split.json")):
        answer = classifier.classify(guard.read_file(folder / path))
        kind = Path(path).parent.name
        said[kind][answer.label] += 1
        confidence[bool(mapping[kind])].append(answer.confidence)
        if mapping[kind]:
            right[kind].append(answer.label in mapping[kind])
    print(f"  photographs, seven classes: {interval(np.concatenate([np.array(r) for r in right.values()]))}")
    for kind, answers in right.items():
        most = sorted(said[kind].items(), key=lambda entry: -entry[1])[:4]
        print(
            f"    {kind}: {np.mean(answers):.1%} of {len(answers)}; said {', '.join(f'{k} {n}' for k, n in most)}"
        )
    area = area_under_roc(np.array(confidence[True]), np.array(confidence[False]))
    print(f"  hats, skirts and shorts told apart: {area:.3f} area under the ROC curve")


if __name__ == "__main__":
    main()
