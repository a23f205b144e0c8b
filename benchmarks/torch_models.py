"""Export networks of PyTorch through their ONNX files and compare with PyTorch itself.

    python benchmarks/torch_models.py WORK [--only NAME] [--edge-fm COMMAND]

It runs where torch, torchvision, onnx, onnxscript and onnxruntime are installed, which the project does not
need; COMMAND is the `edge-fm` to test. Each network has random weights of a fixed seed and is exported by
both exporters of PyTorch, with a fixed and with a free batch, then by `edge-fm export`.

The table has, for each file: its operators and those of the exported file; how many of 50 pictures get
PyTorch's label, and the largest difference of a probability; how many labels occur; and the median time of
the exported file for one picture on one thread, divided by that of the file it was made from, both timed in
turn.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

NETWORKS = (
    *("mnist", "resnet18", "mobilenet_v2", "mobilenet_v3_small"),
    *("efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1"),
)
CLASSES = 10
PICTURES = 50
ROUNDS = 60
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet, in pixels."""


def pictures(size: int, channels: int) -> NDArray[np.uint8]:
    """Return pictures of coloured blocks with noise, which differ enough for an untrained network."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (PICTURES, 4, 4, channels)).repeat(size // 4, 1).repeat(size // 4, 2)
    return np.clip(blocks + rng.normal(0, 20, blocks.shape), 0, 255).astype(np.uint8)


def network(name: str) -> Any:  # noqa: ANN401  # torch is not installed here
    """Return an untrained network for inference."""
    import torch
    import torchvision

    torch.manual_seed(0)
    if name != "mnist":
        return getattr(torchvision.models, name)(num_classes=CLASSES).eval()
    layers = torch.nn
    return layers.Sequential(
        *(layers.Conv2d(1, 8, 3), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Conv2d(8, 16, 3), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Flatten(), layers.Linear(16 * 25, CLASSES)),
    ).eval()


class Case:
    """A network, its pictures and PyTorch's answers for them."""

    def __init__(self, name: str) -> None:
        import torch

        self.name = name
        size, channels = (28, 1) if name == "mnist" else (224, 3)
        self.pixels = pictures(size, channels)
        mean, deviation = (MEAN, DEVIATION) if channels > 1 else ((127.5,), (127.5,))
        self.scale = f"standard:{','.join(map(str, mean))}:{','.join(map(str, deviation))}"
        scaled = (self.pixels - np.array(mean, np.float32)) / np.array(deviation, np.float32)
        inputs = torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
        net = network(name)
        with torch.no_grad():
            _settle(net, inputs)
            logits = torch.cat([net(inputs[start : start + 10]) for start in range(0, PICTURES, 10)])
            # Untrained networks prefer one class whatever they see: let each have its turn.
            self.network = _spread(net, logits.mean(0), logits.std(0))
            logits = torch.cat([self.network(inputs[start : start + 10]) for start in range(0, PICTURES, 10)])
        self.probabilities = torch.softmax(logits, 1).numpy()
        self.example = inputs[:1]

    def files(self, folder: Path) -> Iterator[Path]:
        """Write the network with each exporter, with a fixed and a free batch."""
        import torch

        for dynamo in (False, True):
            for free in (False, True):
                path = (
                    folder
                    / f"{self.name}-{'dynamo' if dynamo else 'script'}-{'free' if free else 'fixed'}.onnx"
                )
                axes: dict[str, Any] = {}
                if free and dynamo:
                    axes = {"dynamic_shapes": ({0: torch.export.Dim("N")},)}
                elif free:
                    axes = {"dynamic_axes": {"image": {0: "N"}}}
                example = self.example.repeat(2, 1, 1, 1) if free else self.example
                torch.onnx.export(
                    *(self.network, (example,), str(path)),
                    input_names=["image"],
                    dynamo=dynamo,
                    external_data=False,
                    verbose=False,
                    **axes,
                )
                yield path

    def row(self, path: Path, command: str) -> str:
        """Export a file and return its row of the table."""
        import onnx

        out = path.with_name(f"edge-{path.name}")
        labels = ",".join(f"class {index}" for index in range(CLASSES))
        arguments = [command, "export", str(path), "--labels", labels, "--scale", self.scale, "-o", str(out)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"| {path.stem} | refused: {done.stderr.strip()} |"
        before, after = _session(path), _session(out)
        own = np.concatenate([after.run(None, {"image": picture[None]})[0] for picture in self.pixels])
        same = int((own.argmax(1) == self.probabilities.argmax(1)).sum())
        difference = float(np.abs(own - self.probabilities).max())
        operators = [
            len([node for node in onnx.load(file).graph.node if node.op_type != "Constant"])
            for file in (path, out)
        ]
        ratio = _ratio((before, self.example.numpy()), (after, self.pixels[:1]))
        return (
            f"| {path.stem} | {operators[0]} | {operators[1]} | {same}/{PICTURES} | {difference:.1e} | "
            f"{len(set(self.probabilities.argmax(1).tolist()))} | {ratio[0]:.2f} | {ratio[1]:.2f} | {ratio[1] / ratio[0]:.3f} |"
        )


def _settle(net: Any, inputs: Any) -> None:  # noqa: ANN401
    """Let the batch normalisations see the pictures: until then, deep networks answer alike to all."""
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.momentum = None
            module.train()
    for start in range(0, len(inputs), 10):
        net(inputs[start : start + 10])
    net.eval()


def _spread(net: Any, mean: Any, deviation: Any) -> Any:  # noqa: ANN401
    """Return a network whose logits have a mean of 0 and a deviation of 1 on the pictures."""
    import torch

    class Spread(torch.nn.Module):  # type: ignore[misc]  # torch is not installed here
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.register_buffer("mean", mean)
            self.register_buffer("deviation", deviation)

        def forward(self, images: Any) -> Any:  # noqa: ANN401
            return (self.net(images) - self.mean) / self.deviation

    return Spread().eval()


def _session(path: Path) -> Any:  # noqa: ANN401
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _ratio(*pairs: tuple[Any, NDArray[Any]]) -> tuple[float, ...]:
    """Return the median time of each session in milliseconds, timed in turn."""
    times: list[list[float]] = [[] for _ in pairs]
    for _ in range(ROUNDS):
        for (session, batch), taken in zip(pairs, times, strict=True):
            session.run(None, {"image": batch})  # the first call after another file's finds cold caches
            started = time.process_time()
            session.run(None, {"image": batch})
            taken.append(time.process_time() - started)
    return tuple(median(taken) * 1e3 for taken in times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder for the files")
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--edge-fm", default="edge-fm", help="command to test")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print("| file | operators | exported | labels | difference | classes | ms | exported ms | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in (arguments.only,) if arguments.only else NETWORKS:
        case = Case(name)
        for path in case.files(arguments.work):
            print(case.row(path, arguments.edge_fm), flush=True)


if __name__ == "__main__":
    main()
