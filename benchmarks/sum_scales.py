"""Count the pairs of levels that x86 and ARM64 round differently in an int8 file, and align its sums.

    python benchmarks/sum_scales.py MODEL... --data mnist [-o FOLDER]

Prints, for each residual sum, how many of its 65,536 pairs differ, and by how much aligning moves its scale;
then how the file with aligned sums answers the test part of the data set, against the file as it is. With -o
the aligned files are written, with the passports of their export; check them with 'edge-fm verify'.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm_exporters.quantization import sum_scales
from edge_fm_runtime import Classifier
from edge_fm_runtime.artifact import onnx_file

_MOVED = 1e-3


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("-o", dest="folder", type=Path)
    wanted = parser.parse_args()
    test = datasets.load(wanted.data).test
    for path in wanted.models:
        print(path.name)
        data = aligned(path)
        before, after = (
            Classifier.from_bytes(model).raw_probabilities(test.images) for model in (path.read_bytes(), data)
        )
        compare(before, after, test.labels)
        if wanted.folder is not None:
            (wanted.folder / path.name).write_bytes(data)


def aligned(path: Path) -> bytes:
    """Return the file with aligned sums, sealed, and print what was found."""
    import onnx

    model = onnx.load(path)
    before = sum_scales.sums(model)
    after = sum_scales.sums(sum_scales.align(model))
    for own, moved in zip(before, after, strict=True):
        differs = (own.on_x86(fused=True) != own.on_arm64()).sum()
        left = (moved.on_x86(fused=True) != moved.on_arm64()).sum()
        share = moved.total.scale / own.total.scale - 1
        print(f"  a sum: {differs} pairs differ, {left} with its scale moved by {share:.1e}")
    metadata = {entry.key: entry.value for entry in model.metadata_props if entry.key != onnx_file.SEAL_KEY}
    del model.metadata_props[:]
    return onnx_file.with_metadata(model.SerializeToString(), metadata)


def compare(before: NDArray[np.float32], after: NDArray[np.float32], labels: NDArray[np.integer]) -> None:
    """Print the accuracies, the labels that differ, and the probabilities that move."""
    accuracies = [float((each.argmax(axis=1) == labels).mean()) for each in (before, after)]
    moved = np.abs(before - after).max(axis=1)
    print(
        f"  accuracy {accuracies[0]:.4f} and {accuracies[1]:.4f} with aligned sums; "
        f"{(before.argmax(axis=1) != after.argmax(axis=1)).sum()} of {len(labels)} labels differ; probabilities by "
        f"{moved.max():.2g} at most, by more than {_MOVED:g} in {(moved > _MOVED).sum()}"
    )


if __name__ == "__main__":
    main()
