"""Scales of quantised sums: the kernels' arithmetic, and the choice that makes them agree."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edge_fm_runtime
from edge_fm_exporters.quantization import static, sum_scales
from edge_fm_exporters.quantization.sum_scales import Quantization, QuantizedSum

MEASURED = QuantizedSum(
    Quantization(np.float32(0.015622378), 164),
    Quantization(np.float32(0.06721649), 132),
    Quantization(np.float32(0.026940381), 0),
)
"""A residual sum of a digits network."""

BUNDLED = sorted((Path(edge_fm_runtime.__file__).parent / "models").glob("*.onnx"))


def drawn(seed: int) -> QuantizedSum:
    """Return a sum with scales and zeros like those of a network."""
    rng = np.random.default_rng(seed)
    scales = rng.uniform([0.02, 0.04, 0.03], [0.06, 0.15, 0.06]).astype(np.float32)
    zeros = *rng.integers(90, 190, 2), rng.choice([0, 128])
    return QuantizedSum(*(Quantization(scale, int(zero)) for scale, zero in zip(scales, zeros, strict=True)))


def graph(own: QuantizedSum, *, quantised: bool = False) -> bytes:
    """Return a file with one sum, in QDQ form or as the operator that onnxruntime makes of it."""
    from onnx import TensorProto, helper, numpy_helper

    constants, nodes, placed = [], [], []
    for name, part in (("a", own.left), ("b", own.right), ("c", own.total)):
        constants.append(numpy_helper.from_array(np.array(part.scale), f"{name}_scale"))
        constants.append(numpy_helper.from_array(np.array(part.zero, np.uint8), f"{name}_zero"))
        placed.append([name, f"{name}_scale", f"{name}_zero"])
    left, right, total = placed
    if quantised:
        nodes.append(
            helper.make_node("QLinearAdd", [*left, *right, *total[1:]], ["c"], domain="com.microsoft")
        )
    else:
        nodes += [helper.make_node("DequantizeLinear", term, [f"{term[0]}_value"]) for term in (left, right)]
        nodes.append(helper.make_node("Add", ["a_value", "b_value"], ["sum"]))
        nodes.append(helper.make_node("QuantizeLinear", ["sum", *total[1:]], ["c"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, [256 * 256]) for name in "abc"]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(nodes, "sum", ends[:2], ends[2:], constants)
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())


def computed(own: QuantizedSum) -> NDArray[np.uint8]:
    """Return what onnxruntime computes on this machine for each pair of levels, (256, 256)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph(own, quantised=True), providers=["CPUExecutionProvider"])
    levels = np.arange(256, dtype=np.uint8)
    pairs = {"a": np.repeat(levels, 256), "b": np.tile(levels, 256)}
    return np.asarray(session.run(["c"], pairs)[0]).reshape(256, 256)


def aligned(own: QuantizedSum) -> QuantizedSum:
    """Return the sum of a QDQ graph after its scale was chosen."""
    import onnx

    (found,) = sum_scales.sums(sum_scales.align(onnx.load_from_string(graph(own))))
    return found


@pytest.mark.parametrize("fused", [False, True])
def test_the_processors_differ_where_they_were_measured_to(fused: bool) -> None:
    """A sum has the two results that onnxruntime 1.31 gave on x86 and on ARM64, for three pairs of levels."""
    x86, arm64 = MEASURED.on_x86(fused=fused), MEASURED.on_arm64()
    differs = x86 != arm64
    assert np.argwhere(differs).tolist() == [[39, 235], [81, 206], [123, 177]]
    assert x86[differs].tolist() == [185, 137, 89]
    assert arm64[differs].tolist() == [184, 136, 88]


@pytest.mark.parametrize("given", [MEASURED, *map(drawn, range(8))])
def test_an_aligned_sum_is_rounded_to_the_nearest_level(given: QuantizedSum) -> None:
    """This machine's onnxruntime and the arithmetic of the others round every pair to the nearest level."""
    own = aligned(given)
    assert own.rounds_alike()
    assert np.array_equal(computed(own), own.exact())


@pytest.mark.parametrize("before", [MEASURED, *map(drawn, range(8))])
def test_the_scale_hardly_moves(before: QuantizedSum) -> None:
    """Only the total's scale is lowered, by less than a hundred-thousandth."""
    after = aligned(before)
    assert (after.left, after.right, after.total.zero) == (before.left, before.right, before.total.zero)
    assert 0 <= 1 - after.total.scale / before.total.scale < 1e-5


def test_sums_that_lie_on_borders_are_moved_off_them() -> None:
    """Pairs are rounded alike even if half of them lie on a border between two levels."""
    half = QuantizedSum(
        Quantization(np.float32(0.5), 128), Quantization(np.float32(0.5), 128), Quantization(np.float32(1), 0)
    )
    assert not half.rounds_alike()
    assert aligned(half).rounds_alike()


def residual_network(sums: int) -> Any:
    """Return an untrained float32 network of residual sums, each followed by a pooling of one pixel."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Transpose", ["image"], ["x0"], name="first", perm=[0, 3, 1, 2])]
    weights = []
    for index in range(sums):
        kernel = rng.normal(size=(1, 1, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{index}"))
        inner = helper.make_node("Conv", [f"x{index}", f"w{index}"], [f"y{index}"], pads=[1] * 4)
        total = helper.make_node("Add", [f"x{index}", f"y{index}"], [f"s{index}"])
        pool = helper.make_node(
            "MaxPool", [f"s{index}"], [f"x{index + 1}"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]
        )
        nodes += [inner, total, pool]
    nodes.append(helper.make_node("Flatten", [f"x{sums}"], ["probabilities"]))
    for index, node in enumerate(nodes):
        node.name = f"{node.op_type}_{index}"
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4, 4, 1]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 16]),
    ]
    made = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_quantised_network_has_aligned_sums() -> None:
    """Quantising aligns every sum, and the pooling behind each keeps one scale at both ends."""
    images = np.random.default_rng(0).random((100, 4, 4, 1), np.float32)
    model = static.quantize(residual_network(6), images)
    found = sum_scales.sums(model)
    assert len(found) == 6
    assert all(own.rounds_alike() for own in found)
    pairs = [node for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    scale = {name: node.input[1] for node in pairs for name in (node.input[0], node.output[0])}
    pools = [node for node in model.graph.node if node.op_type == "MaxPool"]
    assert len(pools) == 6
    assert all(scale[pool.input[0]] == scale[pool.output[0]] for pool in pools)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_models_answer_alike_on_every_processor(path: Path) -> None:
    """Every residual sum of the bundled models rounds alike on x86 and ARM64."""
    import onnx

    found = sum_scales.sums(onnx.load(path))
    assert len(found) == {"digits": 2, "fashion": 6, "fashion-nano": 4}[path.stem]
    assert all(own.rounds_alike() for own in found)
