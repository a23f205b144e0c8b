"""The figures of docs/models.md, from the files: python benchmarks/models.py MODEL... [--photos DIR].

Accuracy on the Fashion-MNIST test set, with a 95 % bootstrap interval; and on the photographs of the people in
`photo_split.json`, each from its file's bytes through the runtime's own way, where a shoe is right as any of Sandal,
Sneaker and Ankle boot. Hats, skirts and shorts have no class: the area under the ROC curve says how well their
confidence is told apart from that of the other seven.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets, mixture
from edge_fm_runtime import guard
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.modelfile import read_model

HERE = Path(__file__).resolve().parent


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
    wanted = parser.parse_args()
    garments = datasets.load("fashion-mnist").test
    for name in wanted.models:
        classifier = Classifier.load(name)
        print(f"{name}: {len(read_model(name)):,} bytes, {classifier.passport.precision.kind}")
        answers = classifier.probabilities(garments.images).argmax(axis=1)
        print(f"  Fashion-MNIST test: {interval(answers == garments.labels)}")
        if wanted.photos:
            photographs(classifier, wanted.photos)


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
