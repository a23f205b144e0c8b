"""Classify images on two machines and compare the results, for `device.sh`.

    device_probe.py answer OUT.npz IMAGES... --models MODEL...   # on each machine
    device_probe.py compare THERE.npz HERE.npz   # print the differences; exit code 1 beyond a bound

The bounds are those of `edge-fm verify`: the tolerance of each model's passport.

The runtime decodes and classifies every image file. No other packages are needed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from edge_fm_runtime import Classifier


def answer(out: Path, images: list[Path], models: list[Path]) -> None:
    """Write the probabilities, input tensors and tolerance of every model."""
    paths = sorted(path for folder in images for path in folder.rglob("*") if path.is_file())
    found: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for model in models:
        classifier = Classifier.load(model)
        tensors = [classifier.tensor(path.read_bytes()) for path in paths]
        precision = classifier.passport.precision
        found[f"{model.stem}_{precision.kind}"] = np.concatenate(
            [classifier.raw_probabilities(tensor[np.newaxis]) for tensor in tensors]
        )
        found[f"tensors_{model.stem}"] = np.stack(tensors)
        found[f"bound_{model.stem}"] = np.array(precision.tolerance)
    np.savez_compressed(out, **found)  # type: ignore[arg-type]


def compare(there: Path, here: Path) -> bool:
    """Print the differences; return whether all labels are equal and all probabilities within bounds."""
    fine = True
    with np.load(there) as far, np.load(here) as near:
        for name in near:
            if name.startswith("bound_"):
                continue
            if name.startswith("tensors_"):
                levels = np.abs(far[name].astype(int) - near[name]).max(axis=(1, 2, 3))
                print(
                    f"{name}: {(levels > 0).sum()} of {len(levels)} differ, by {levels.max()} grey levels at most"
                )
                continue
            model = name.rpartition("_")[0]
            bound = float(near[f"bound_{model}"])
            difference = np.abs(far[name].astype(float) - near[name]).max(axis=1)
            same = (far[f"tensors_{model}"] == near[f"tensors_{model}"]).all(axis=(1, 2, 3))
            labels = (far[name].argmax(axis=1) != near[name].argmax(axis=1)).sum()
            print(
                f"{name}: {labels} of {len(difference)} labels differ; probabilities by {difference.max():.2g} at most, "
                f"by more than {bound:g} in {(difference > bound).sum()} (in {(difference[same] > bound).sum()} from the same "
                f"tensor), by none in {(difference == 0).sum()}"
            )
            fine &= labels == 0 and difference.max() <= bound
    return fine


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("answer")
    first.add_argument("out", type=Path)
    first.add_argument("images", type=Path, nargs="+")
    first.add_argument("--models", type=Path, nargs="+", required=True)
    second = commands.add_parser("compare")
    second.add_argument("there", type=Path)
    second.add_argument("here", type=Path)
    wanted = parser.parse_args()
    if wanted.command == "answer":
        answer(wanted.out, wanted.images, wanted.models)
    else:
        sys.exit(int(not compare(wanted.there, wanted.here)))


if __name__ == "__main__":
    main()
