"""Time float32 and int8 files of a depthwise-separable network against plain conversions of it.

    python benchmarks/depthwise.py [MODEL] [--scale symmetric] [--rounds 41]

Without MODEL it is a MobileNetV2 of width 0.35 for 224x224, with random weights and batch normalisations that
fit them. Images are drawn: smooth noise, on which accuracy says little. Times are of the thread (one image,
one thread, medians of alternating runs), so that other processes hardly disturb them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters import sources
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import cleanup, colour_order, uint8_input
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import Scale, parse_scale
from edge_fm_exporters.quantization import effort, search, static
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.session import INPUT
from edge_fm_runtime.image.opencv import cv2

SELECTION = 200


def main() -> None:
    """Convert, quantise, time and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--scale", default="symmetric")
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.model or mobilenet(Path(folder, "mobilenet.keras"))
        started = time.process_time()
        source = sources.load(path)
        plain = source.convert(17)
        print(f"reading and plain conversion: {time.process_time() - started:.1f} CPU s")
        scale = parse_scale(arguments.scale, None)
        found = {**peers(plain, source, scale, Path(folder)), **ours(plain, source, scale)}
        times = measured(found, source, scale, arguments.rounds)
        print("\nfile                          nodes  run as     bytes      us  times as fast as our float32")
        for name, data in found.items():
            nodes, run_as = count_nodes(data, Path(folder, "optimised.onnx"))
            ratio = times["float32"] / times[name]
            print(f"{name:28} {nodes:6} {run_as:7} {len(data):9} {times[name] * 1e6:7.0f}  {ratio:.2f}")


def mobilenet(path: Path) -> Path:
    """Save the network with random weights."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2((224, 224, 3), alpha=0.35, weights=None, classes=10)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # the statistics of one batch
    network(parse_scale("symmetric", None).apply(drawn(16, network.input_shape[1:])), training=True)
    network.save(path)
    return path


def drawn(count: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return smooth noise, (count, height, width, channels) uint8."""
    rng = np.random.default_rng(0)
    grains = rng.integers(0, 256, (count, 12, 12, shape[2]), np.uint8)
    size = (shape[1], shape[0])
    large = [cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC) for grain in grains]
    return np.array(large).reshape(count, *shape)


def peers(plain: Any, source: SourceModel, scale: Scale, folder: Path) -> dict[str, bytes]:  # noqa: ANN401  # onnx ships no types
    """Return the plain conversion, the same through onnxslim, and onnxruntime's own quantisation of it."""
    import onnx
    import onnxslim
    from onnxruntime import quantization

    slim = onnxslim.slim(plain)
    onnx.save(slim, folder / "slim.onnx")
    images = scale.apply(drawn(effort.calibration_images(source.spec), source.spec.shape))
    quantization.quantize_static(folder / "slim.onnx", folder / "static.onnx", static.Reader(images))
    return {
        "tf2onnx": plain.SerializeToString(),
        "tf2onnx and onnxslim": slim.SerializeToString(),
        "onnxruntime's static int8": (folder / "static.onnx").read_bytes(),
    }


def ours(plain: Any, source: SourceModel, scale: Scale) -> dict[str, bytes]:  # noqa: ANN401
    """Return our float32 file and every int8 candidate."""
    graph, inner = colour_order.in_rgb(*cleanup.without_scaling(cleanup.clean(plain), scale))
    float32 = bytes(uint8_input.with_uint8_input(graph, source.spec, inner).SerializeToString())
    calibrated = effort.calibration_images(source.spec)
    images = drawn(calibrated + SELECTION, source.spec.shape)
    started = time.process_time()
    candidates = search.search(
        float32,
        search.QuantizationInputs(
            model=graph,
            spec=source.spec,
            scale=inner,
            calibration=inner.apply(images[:calibrated]),
            selection=LabelledImages("noise", "drawn", images[calibrated:], None),
            expected=source.predict(scale.apply(images[calibrated:])),
        ),
        search.Int8Limits(),
        lambda _step: None,
    )
    print(f"search of int8: {time.process_time() - started:.1f} CPU s")
    for candidate in candidates:
        print(f"{candidate.name:28} labels agree on {candidate.label_agreement:.1%} of the noise")
    return {candidate.name: candidate.data for candidate in candidates}


def measured(found: dict[str, bytes], source: SourceModel, scale: Scale, rounds: int) -> dict[str, float]:
    """Return the seconds that each file takes for one image; files take turns."""
    pixels = drawn(1, source.spec.shape)
    runs = {name: runner(data, pixels, scale) for name, data in found.items()}
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, run in runs.items():
            run()  # the first call after another file's finds cold caches
            started = time.thread_time()
            run()
            taken[name].append(time.thread_time() - started)
    return {name: median(times) for name, times in taken.items()}


def runner(data: bytes, pixels: NDArray[np.uint8], scale: Scale) -> Callable[[], Any]:
    """Return what runs a file on an image; scaling for a float input is not part of it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    whole = session.get_inputs()[0].type == "tensor(uint8)"
    given = {INPUT: pixels if whole else scale.apply(pixels)}
    return lambda: session.run(None, given)


def count_nodes(data: bytes, path: Path) -> tuple[int, int]:
    """Return the nodes of a file, and those that onnxruntime makes of it."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return len(onnx.load_from_string(data).graph.node), len(onnx.load(path).graph.node)


if __name__ == "__main__":
    main()
