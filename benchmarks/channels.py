"""Time int8 3x3 convolutions by number of channels: microseconds for two images, one thread.

    python benchmarks/channels.py [--rounds 9]

Each figure is an eighth of the time of eight convolutions in sequence, as `edge-fm export --int8` writes
them. In a depthwise convolution each channel has its own kernel. All sequences of a table take turns, so that
noise affects them equally, and medians are printed. MlasConvSymPackWSize in onnxruntime's convsym.cpp shows
the numbers of channels that its faster kernels support.
"""

import argparse
import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.session import OnnxSession

DEPTH, KERNEL, PICTURES = 8, 3, 2
TABLES = (
    (28, False, (4, 8, 12, 16, 20, 24, 28, 32)),
    (14, False, (8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64)),
    (7, False, (24, 28, 32, 36, 40, 44, 48, 56, 64, 72, 80)),
    (28, True, (8, 16, 24, 32, 40, 48)),
    (14, True, (16, 24, 32, 40, 48, 56, 64)),
)
"""(height and width of the images, whether depthwise, numbers of channels) of each table."""

REPEATS = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for size, depthwise, widths in TABLES:
        sessions = {channels: OnnxSession(chain(channels, size, depthwise=depthwise)) for channels in widths}
        taken: dict[int, list[float]] = {channels: [] for channels in widths}
        for _ in range(rounds):
            for channels, session in sessions.items():
                taken[channels].append(microseconds(session, channels, size))
        print(f"\n{size}x{size}{', depthwise' if depthwise else ''}: channels, us (lowest to highest)")
        for channels, times in taken.items():
            print(f"{channels:4} {median(times):8.1f} ({min(times):.1f} to {max(times):.1f})", flush=True)


def microseconds(session: OnnxSession, channels: int, size: int) -> float:
    """Return the mean time of one convolution in microseconds."""
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, channels, size, size), np.uint8)
    session.run(pixels)  # the first call after another file's has cold caches
    started = time.perf_counter()
    for _ in range(REPEATS):
        session.run(pixels)
    return (time.perf_counter() - started) / REPEATS / DEPTH * 1e6


def chain(channels: int, size: int, *, depthwise: bool) -> bytes:
    """Return an ONNX file of `DEPTH` quantised convolutions in sequence, from uint8 to uint8."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    inputs, groups = (1, channels) if depthwise else (channels, 1)
    constants: dict[str, NDArray[np.generic]] = {
        "step": np.array(0.02, np.float32),
        "zero": np.array(0, np.uint8),
        "steps": np.full(channels, 0.01, np.float32),
        "zeros": np.zeros(channels, np.int8),
        "bias": np.zeros(channels, np.int32),
        "bias_steps": np.full(channels, 0.0002, np.float32),
        "bias_zeros": np.zeros(channels, np.int32),
    }
    nodes, last = [], "levels"
    for index in range(DEPTH):
        kernel, mine = f"kernel_{index}", f"{index}"
        constants[kernel] = rng.integers(-64, 65, (channels, inputs, KERNEL, KERNEL)).astype(np.int8)
        nodes += [
            helper.make_node("DequantizeLinear", [last, "step", "zero"], [f"value_{mine}"]),
            helper.make_node("DequantizeLinear", [kernel, "steps", "zeros"], [f"weights_{mine}"], axis=0),
            helper.make_node(
                "DequantizeLinear", ["bias", "bias_steps", "bias_zeros"], [f"bias_{mine}"], axis=0
            ),
            helper.make_node(
                "Conv",
                [f"value_{mine}", f"weights_{mine}", f"bias_{mine}"],
                [f"sum_{mine}"],
                pads=[KERNEL // 2] * 4,
                group=groups,
            ),
            helper.make_node("QuantizeLinear", [f"sum_{mine}", "step", "zero"], [f"levels_{mine}"]),
        ]
        last = f"levels_{mine}"
    shape = ["N", channels, size, size]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("levels", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(last, TensorProto.UINT8, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
