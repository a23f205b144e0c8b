"""Find and download the wheels that a device needs.

They have the versions that are installed here, so the device runs tested versions; only the platform differs.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime import __version__
from edge_fm_runtime.errors import DataError

PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("web", "parquet")

_GLIBCS = (*range(17, 35),)


@dataclass(frozen=True)
class Platform:
    """Platform of a device.

    Attributes:
        name: name on the command line.
        machine: output of `uname -m`.
    """

    name: str
    machine: str

    @property
    def tags(self) -> list[str]:
        """Tags of the wheels that run on the platform with glibc 2.34 or older (PEP 600)."""
        old = ["manylinux2014", *(["manylinux2010", "manylinux1"] if self.machine == "x86_64" else [])]
        return [
            f"{tag}_{self.machine}"
            for tag in (*(f"manylinux_2_{minor}" for minor in reversed(_GLIBCS)), *old)
        ]


PLATFORMS = {
    platform.name: platform
    for platform in (Platform("linux-aarch64", "aarch64"), Platform("linux-x86_64", "x86_64"))
}


def find_platform(name: str) -> Platform:
    """Return the platform of a name.

    Raises:
        DataError: there is none; the message has the reason if it is known.
    """
    if name in PLATFORMS:
        return PLATFORMS[name]
    reason = ""
    if "arm" in name:
        reason = ": onnxruntime has no wheel for 32-bit ARM, so install a 64-bit system on the device"
    raise DataError(f"there is no bundle for {name!r}{reason}. Choose one of {', '.join(PLATFORMS)}")


def pin_versions(python: str, platform: Platform, extras: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, version) of every dependency on the device, in the version that is installed here.

    Args:
        python: Python version of the device, such as `3.11`.
        platform: platform of the device.
        extras: extras of edge-fm.

    Raises:
        DataError: a dependency is not installed here.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": platform.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found: dict[str, str] = {}
    waiting = [("edge-fm", extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate(
                environment | {"extra": extra}
            ):
                continue
            needed: str = canonicalize_name(requirement.name)
            needed = "opencv-python-headless" if needed == "opencv-python" else needed
            found[needed] = distribution(needed).version
            for wanted in {(needed, wanted) for wanted in ("", *requirement.extras)} - seen:
                seen.add(wanted)
                waiting.append(wanted)
    return sorted(found.items())


def distribution(name: str) -> importlib.metadata.Distribution:
    """Return an installed distribution; OpenCV with windows can replace headless OpenCV.

    Raises:
        DataError: the distribution is not installed.
    """
    for known in (name, *(["opencv-python"] if name == "opencv-python-headless" else [])):
        try:
            return importlib.metadata.distribution(known)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise DataError(
        f"{name} is not installed, and a bundle has the installed versions: run pip install {name}, or install the "
        "extra of edge-fm that needs it"
    )


def copy_own_wheel(wheel: Path | None, folder: Path) -> None:
    """Copy edge-fm's wheel into a folder, or build it from the checkout.

    Args:
        wheel: path of the wheel; None builds it.
        folder: target folder.

    Raises:
        DataError: `wheel` is not a wheel of edge-fm, there is no checkout, or the build fails.
    """
    if wheel is not None:
        if not re.fullmatch(r"edge_fm-[^-]+-py3-none-any\.whl", wheel.name) or not zipfile.is_zipfile(wheel):
            raise DataError(
                f"{wheel} is not a wheel of edge-fm, such as edge_fm-{__version__}-py3-none-any.whl"
            )
        shutil.copy(wheel, folder)
        return
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "pyproject.toml").is_file():
        raise DataError(
            "edge-fm's wheel is built from a checkout, and this is an installed package: give --wheel "
            "edge_fm-VERSION-py3-none-any.whl"
        )
    done = _pip("wheel", "--no-deps", "-w", str(folder), str(checkout))
    if done.returncode:
        raise DataError(f"edge-fm's wheel cannot be built: {_last_line(done.stderr)}")


def download(pins: Sequence[tuple[str, str]], platform: Platform, python: str, folder: Path) -> None:
    """Download wheels from the package index.

    Args:
        pins: (name, version) of each wheel.
        platform: platform of the device.
        python: Python version of the device, such as `3.11`.
        folder: target folder.

    Raises:
        DataError: a wheel does not exist for the platform and Python, or cannot be downloaded.
    """
    tags = [word for tag in platform.tags for word in ("--platform", tag)]
    abi = f"cp{python.replace('.', '')}"
    abis = [word for tag in (abi, "abi3", "none") for word in ("--abi", tag)]
    done = _pip(
        *("download", "--no-deps", "--only-binary=:all:", "-d", str(folder), *tags, *abis),
        *("--implementation", "cp", "--python-version", python),
        *(f"{name}=={version}" for name, version in pins),
    )
    if done.returncode:
        lacking = re.search(r"No matching distribution found for (\S+)", done.stderr)
        if lacking is not None:
            raise DataError(
                f"there is no wheel of {lacking[1]} for {platform.name} and Python {python}: "
                "choose another --python, or install a version here that has such a wheel"
            )
        raise DataError(f"the wheels cannot be downloaded: {_last_line(done.stderr)}")


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # our own arguments
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise DataError(f"pip cannot be run: {error}") from error


def _last_line(text: str) -> str:
    lines = [
        line for line in text.strip().splitlines() if line.startswith("ERROR")
    ] or text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
