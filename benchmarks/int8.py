"""Time exported files against their peers with the same weights: microseconds for one image.

python benchmarks/int8.py RUN... [--processes 5]

Peers: onnxruntime with its defaults (quantiser settings and session options), LiteRT and OpenVINO, if they
are installed (pip install ai-edge-litert openvino). Files take turns. Each figure is the median over whole
processes of each process's median; ratios are taken within a process, and their median is printed. --nodes
prints onnxruntime's profile of each node of our files, whose sum exceeds the time without a profile.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.models import runs

ROUNDS = 600
_CALIBRATION = 1000

Runner = Callable[[NDArray[np.uint8]], Any]


def main() -> None:
    """Prepare the files of each run, time them in separate processes, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--nodes", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(timed(runners(arguments.child))))
        return
    for run in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            prepare(run, Path(folder))
            taken = [
                json.loads(
                    subprocess.run(
                        [sys.executable, __file__, str(run), "--child", folder],
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        text=True,
                        check=True,
                    ).stdout.splitlines()[-1]
                )
                for _ in range(arguments.processes)
            ]
            spent = (
                {kind: nodes(Path(folder, f"{kind}.onnx")) for kind in ("fp32", "int8")}
                if arguments.nodes
                else {}
            )
        print(f"\n{run.name}: microseconds for one image, one thread, median of {len(taken)} processes")
        print(f"{'':34} {'us':>8} {'lowest':>8} {'highest':>8} {'against our fp32':>17}")
        for name in taken[0]:
            each = [process[name] for process in taken]
            ratio = median(process["edge-fm fp32"] / process[name] for process in taken)
            print(
                f"{name:34} {median(each):8.1f} {min(each):8.1f} {max(each):8.1f} {ratio:17.2f}", flush=True
            )
        for kind, each_node in spent.items():
            print(
                f"{kind}: " + ", ".join(f"{name} ({kernel}) {took:.1f}" for name, kernel, took in each_node),
                flush=True,
            )


def nodes(path: Path) -> list[tuple[str, str, float]]:
    """Return (node, kernel, microseconds) of the optimised graph for one image on one thread.

    Microseconds are the mean without the slowest tenth.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling = 1, True
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.profile_file_prefix = str(path.with_suffix(".profile"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, *session.get_inputs()[0].shape[1:]), np.uint8)
    for _ in range(2 * ROUNDS):
        session.run(None, {session.get_inputs()[0].name: image})
    events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            taken[event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]].append(event["dur"])
    return [
        (name, kernel, float(np.mean(sorted(each)[: len(each) * 9 // 10])))
        for (name, kernel), each in taken.items()
    ]


def prepare(run: Path, folder: Path) -> None:
    """Write the files of a run: ours, onnxruntime's with its defaults, and LiteRT's."""
    import onnx
    from onnxruntime import quantization

    from edge_fm_exporters import sources
    from edge_fm_exporters.graph import cleanup
    from edge_fm_exporters.quantization.static import Reader

    record = runs.Run.load(run)
    dataset = datasets.load(record.data)
    images = dataset.train.sample(_CALIBRATION, seed=0).images.astype(np.float32) / np.float32(255)
    for kind in ("fp32", "int8"):
        line = ["export", str(run), *(["--int8", "--min-speedup", "0"] if kind == "int8" else [])]
        subprocess.run(
            [sys.executable, "-m", "edge_fm", *line, "-o", str(folder / f"{kind}.onnx")],
            stdout=subprocess.DEVNULL,
            check=False,
        )
    source = sources.load(run / record.model)
    plain = cleanup.clean(source.convert(17))
    onnx.save(plain, folder / "plain.onnx")
    quantization.quantize_static(folder / "plain.onnx", folder / "static.onnx", Reader(images))
    quantization.quantize_dynamic(folder / "plain.onnx", folder / "dynamic.onnx")
    if record.model == runs.MODEL and importlib.util.find_spec("ai_edge_litert"):
        _litert(run / record.model, folder, images)


def _litert(model: Path, folder: Path, images: NDArray[np.float32]) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from edge_fm.training.keras_fit import load_uncompiled

    network = load_uncompiled(model)
    for kind in ("fp32", "int8"):
        function = tf.function(lambda image: network(image, training=False))
        signature = function.get_concrete_function(tf.TensorSpec((1, *images.shape[1:]), tf.float32))
        frozen = convert_variables_to_constants_v2(signature)  # LiteRT's calibrator does not find variables
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        if kind == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = partial(_one_by_one, images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        (folder / f"{kind}.tflite").write_bytes(converter.convert())


def _one_by_one(images: NDArray[np.float32]) -> Iterator[list[NDArray[np.float32]]]:
    for image in images:
        yield [image[np.newaxis]]


def runners(folder: Path) -> dict[str, Runner]:
    """Return a runner for every existing file."""
    import onnxruntime

    from edge_fm_runtime.classifier import Classifier

    found: dict[str, Runner] = {}
    for kind in ("fp32", "int8"):
        classifier = Classifier.load(folder / f"{kind}.onnx")
        precision = str(classifier.passport.precision.kind)
        found[f"edge-fm {kind}" + ("" if precision == kind else " (refused: fp32)")] = (
            classifier.raw_probabilities
        )
    for name in ("plain", "static", "dynamic"):
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        label = "fp32" if name == "plain" else f"int8 {name}"
        found[f"onnxruntime defaults, {label}"] = _float_runner(partial(_run_onnx, session))
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter

        for path in sorted(folder.glob("*.tflite")):
            found[f"LiteRT {path.stem}"] = _litert_runner(Interpreter(model_path=str(path), num_threads=1))
    if importlib.util.find_spec("openvino"):
        import openvino

        core = openvino.Core()
        for kind, file in (("fp32", "plain.onnx"), ("int8", "static.onnx")):
            compiled = core.compile_model(
                core.read_model(folder / file),
                "CPU",
                {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"},
            )
            request = compiled.create_infer_request()
            found[f"OpenVINO {kind}"] = _float_runner(partial(_run_openvino, request))
    return found


def _run_onnx(session: Any, image: NDArray[np.float32]) -> Any:  # noqa: ANN401  # onnxruntime ships no types
    return session.run(None, {"image": image})


def _run_openvino(request: Any, image: NDArray[np.float32]) -> Any:  # noqa: ANN401  # OpenVINO ships no types
    return request.infer({0: image})


def _float_runner(run: Callable[[NDArray[np.float32]], Any]) -> Runner:
    """Return a runner that scales the pixels first, as a user of the file has to."""
    return lambda image: run(image.astype(np.float32) / np.float32(255))


def _litert_runner(interpreter: Any) -> Runner:  # noqa: ANN401  # LiteRT ships no types
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(image: NDArray[np.uint8]) -> Any:  # noqa: ANN401
        whole = source["dtype"] is np.uint8
        interpreter.set_tensor(
            source["index"], image if whole else image.astype(np.float32) / np.float32(255)
        )
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run


def timed(opened: dict[str, Runner]) -> dict[str, float]:
    """Return the median microseconds of each runner; runners take turns."""
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1), np.uint8)
    times: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(ROUNDS):
        for name, run in opened.items():
            run(image)  # the first call after another file's has cold caches
            started = time.perf_counter()
            run(image)
            times[name].append(time.perf_counter() - started)
    return {name: median(taken) * 1e6 for name, taken in times.items()}


if __name__ == "__main__":
    main()
