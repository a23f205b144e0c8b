"""Make the bundled int8 backbone of `transfer-small`, and compare its features with float32.

    python benchmarks/transfer_backbone.py PHOTOS -o edge_fm/models/pretrained/transfer-small.onnx

PHOTOS is clothing-dataset-small. Ranges are set on training photographs of people who are not held out
(`photo_split.json`) and on pictures of samples/; agreement is measured on those of the validation folder. The
weights are those of `edge-fm[transfer]`.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.models import efficientnet_lite
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW
from edge_fm_exporters.quantization import effort, search
from edge_fm_exporters.quantization.static import Calibration, QuantizationSettings
from edge_fm_exporters.sources import onnx_graph
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.artifact.session import OUTPUT, OnnxSession

HERE = Path(__file__).parent
SPEC = InputSpec(128, 128, 3)
SAMPLES = 40


def main() -> None:
    """Quantise by each calibration, print what was measured, and write the one nearest to float32."""
    import onnx

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="clothing-dataset-small")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the .onnx file to write")
    options = parser.parse_args()
    held_out = set(json.loads((HERE / "photo_split.json").read_text(encoding="utf-8"))["held_out"])
    training = [
        file
        for file in datasets.picture_files(options.photos / "train")
        if file.relative_to(options.photos).as_posix() not in held_out
    ]
    samples = list(datasets.picture_files(HERE.parent / "samples" / "wardrobe"))[:SAMPLES]
    calibration = read([*datasets.sample(training, effort.calibration_images(SPEC) - len(samples)), *samples])
    validation = read(list(datasets.picture_files(options.photos / "validation")))

    data = efficientnet_lite.build(efficientnet_lite.load_weights(), SPEC.height, cut=True)
    expected = OnnxSession(data).run(validation)
    model = onnx.load_from_string(data)
    onnx_graph.with_float_input(model)
    graph, scale = cleanup.without_scaling(cleanup.clean(model), RAW)
    inputs = search.QuantizationInputs(
        model=graph,
        spec=SPEC,
        scale=scale,
        calibration=scale.apply(calibration),
        selection=LabelledImages("photos", "validation", validation, None),
        expected=expected,
        nodes=tuple(node.name for node in graph.graph.node if node.op_type in {"Conv", "Clip", "Add"}),
    )
    print(f"float32: {len(data):,} bytes, {latency_ms(data):.2f} ms")
    found = {}
    for kind in Calibration:
        for float_stem in (False, True):
            settings = QuantizationSettings(kind, float_stem=float_stem, images=len(calibration))
            made = renamed(inputs.file(search.build(settings, inputs)))
            error, cosine = agreement(expected, OnnxSession(made).run(validation))
            print(
                f"{settings.name}: {len(made):,} bytes, {latency_ms(made):.2f} ms, error {error:.4f} of the deviation, "
                f"cosine {cosine:.4f}"
            )
            found[error] = made
    options.out.write_bytes(found[min(found)])
    print(f"{options.out}: error {min(found):.4f}")


def read(files: list[Path]) -> NDArray[np.uint8]:
    """Return pictures as the network takes them."""
    return datasets.read_pictures(files, SPEC, Preprocess())[0]


def renamed(data: bytes) -> bytes:
    """Return a model whose output is called as that of the float32 backbone."""
    import onnx

    model = onnx.load_from_string(data)
    for node in model.graph.node:
        node.output[:] = [efficientnet_lite.FEATURES if name == OUTPUT else name for name in node.output]
    model.graph.output[0].name = efficientnet_lite.FEATURES
    return bytes(model.SerializeToString())


def agreement(expected: NDArray[np.float32], own: NDArray[np.float32]) -> tuple[float, float]:
    """Return the RMS difference in deviations of each feature, and the mean cosine of the two vectors."""
    centred, moved = expected - expected.mean(axis=0), own - expected.mean(axis=0)
    error = np.sqrt(np.mean(((moved - centred) / expected.std(axis=0)) ** 2))
    lengths = np.linalg.norm(centred, axis=1) * np.linalg.norm(moved, axis=1)
    return float(error), float(np.mean((centred * moved).sum(axis=1) / lengths))


def latency_ms(data: bytes) -> float:
    """Return the median time of one picture on one thread, in milliseconds."""
    session, picture = OnnxSession(data), np.zeros((1, *SPEC.shape), np.uint8)
    session.run(picture)
    times = []
    for _ in range(51):
        started = time.perf_counter()
        session.run(picture)
        times.append(time.perf_counter() - started)
    return 1e3 * median(times)


if __name__ == "__main__":
    main()
