"""Examine this machine: what it has, what is missing, and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime import __version__
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.machine import hardware
from edge_fm_runtime.posix import HAS_MEMORY_LIMIT, usable_cores

_DEVICE = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime",),
    "cv2": ("opencv-python", "opencv-python-headless"),
}
_TRAIN = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf2onnx": "tf2onnx",
    "onnx": "onnx",
    "onnxslim": "onnxslim",
    "sklearn": "scikit-learn",
    "skl2onnx": "skl2onnx",
    "skops": "skops",
}
_FEATURES = {
    "avx512_vnni": "int8 at full speed",
    "avx_vnni": "int8 at full speed",
    "asimddp": "int8 at full speed",
    "avx2": "int8 without VNNI: fp32 may be as fast",
}
_LOW_MEMORY_BYTES = 700 * 2**20
_HOT_CELSIUS = 80
"""Temperature from which a Raspberry Pi lowers its clock."""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        name: name of the part that was checked.
        found: state of the part.
        is_ok: whether nothing is missing.
        is_required: whether the device side needs the part.
        remedy: command or advice; empty if there is nothing to do.
    """

    name: str
    found: str
    is_ok: bool = True
    is_required: bool = False
    remedy: str = ""


def examine() -> list[Finding]:
    """Check Python, libraries, processor, memory, heat, cameras, display and the bundled models."""
    return [
        Finding("edge-fm", __version__),
        Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_libraries(),
        _processor(),
        _memory(),
        *_heat(),
        _opencv(),
        *_models(),
        _cameras(),
        _display(),
        _train(),
        _platform(),
    ]


def _libraries() -> Iterator[Finding]:
    for module, distributions in _DEVICE.items():
        versions = [f"{name} {version}" for name in distributions if (version := _version(name))]
        if versions and importlib.util.find_spec(module) is not None:
            yield Finding(module, ", ".join(versions), is_required=True)
        else:
            yield Finding(module, "not installed", False, True, f"pip install {distributions[0]}")


def _processor() -> Finding:
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                flags = set(line.partition(":")[2].split())
                break
    speed = next(
        (f"{name}, {meaning}" for name, meaning in _FEATURES.items() if name in flags), "features unknown"
    )
    return Finding("processor", f"{usable_cores()} cores usable; {speed}")


def _memory() -> Finding:
    usable = hardware.usable_memory_bytes()
    if usable is None:
        return Finding("memory", "not reported by this system")
    if usable < _LOW_MEMORY_BYTES:
        return Finding(
            "memory", f"{usable / 2**20:,.0f} MB usable", False, False, "label with --workers 1 --memory 256"
        )
    return Finding("memory", f"{usable / 2**30:.1f} GB usable")


def _heat() -> Iterator[Finding]:
    """Yield temperature and throttling, where the system reports them."""
    celsius, reasons = hardware.temperature_celsius(), hardware.throttling()
    if celsius is not None:
        hot = celsius >= _HOT_CELSIUS
        remedy = "it will slow down soon: give it air or a heat sink" if hot else ""
        yield Finding("temperature", f"{celsius:.0f} degrees Celsius", not hot, False, remedy)
    if reasons is not None:
        remedy = "use the manufacturer's power supply, a short thick cable, and air" if reasons else ""
        yield Finding("throttling", ", ".join(reasons) or "none", not reasons, False, remedy)


def _opencv() -> Finding:
    try:
        from edge_fm_runtime.image.opencv import cv2
    except EdgeFmError as error:
        return Finding("OpenCV", "cannot be imported", False, True, str(error))
    return Finding("OpenCV", f"{cv2.__version__}, {cv2.getNumThreads()} threads", is_required=True)


def _models() -> Iterator[Finding]:
    try:
        from edge_fm_runtime.artifact.model_file import BUNDLED
        from edge_fm_runtime.classifier import Classifier
        from edge_fm_runtime.golden import replay
    except (EdgeFmError, ImportError):
        return
    for name in BUNDLED:
        try:
            results = replay(Classifier.load(name))
        except EdgeFmError as error:
            yield Finding(f"model {name}", str(error), False, True, "install edge-fm again")
            continue
        different = sum(bool(result.stage) for result in results)
        found = f"{len(results) - different} of {len(results)} golden inputs give the same answer"
        remedy = f"run edge-fm verify {name} to see which stage differs" if different else ""
        yield Finding(f"model {name}", found, not different, True, remedy)


def _cameras() -> Finding:
    devices = sorted(Path("/dev").glob("video*")) if sys.platform.startswith("linux") else []
    if devices:
        closed = [str(device) for device in devices if not os.access(device, os.R_OK | os.W_OK)]
        if closed:
            return Finding(
                "cameras",
                ", ".join(closed),
                False,
                False,
                "add this user to the group 'video', and log in again",
            )
        lines = [f"{camera.device} {camera.name}: {'; '.join(camera.modes)}" for camera in hardware.cameras()]
        return Finding("cameras", "\n".join(lines) or ", ".join(map(str, devices)))
    if sys.platform.startswith("linux"):
        return Finding(
            "cameras", "none", False, False, "plug one in, or give 'edge-fm webcam' a video file or URL"
        )
    return Finding("cameras", "not listed on this system", True, False, "try 'edge-fm webcam 0'")


def _display() -> Finding:
    if _version("opencv-python") is None:
        return Finding(
            "window", "this OpenCV is headless", False, False, "use --view none, or pip install opencv-python"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return Finding(
            "window", "no display", False, False, "use --view none, or start edge-fm from a desktop"
        )
    return Finding("window", "available")


def _train() -> Finding:
    missing = [name for module, name in _TRAIN.items() if importlib.util.find_spec(module) is None]
    if missing:
        return Finding(
            "train extra",
            f"without {', '.join(missing)}",
            False,
            False,
            "needed only to train and export: pip install 'edge-fm[train]'",
        )
    return Finding("train extra", ", ".join(f"{name} {_version(name)}" for name in _TRAIN.values()))


def _platform() -> Finding:
    if not HAS_MEMORY_LIMIT:
        found = f"no memory limit for workers on {platform.system()}"
        return Finding("limits", found, remedy="nothing to do, but damaged files may use more memory")
    return Finding("limits", "workers have a memory limit")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
