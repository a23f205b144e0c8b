"""A folder that installs edge-fm and its models on a device that has no network.

Wheels are those of the versions that are installed here, so what runs there was tried here; only the platform differs, and OpenCV is
the headless one. The device needs Python and its standard library, and nothing is compiled on it.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime import __version__
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError, ModelError, OutputError
from edge_fm_runtime.modelfile import BUNDLED, read_model
from edge_fm_runtime.replay import replay

PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("web", "parquet")

_FILES = Path(__file__).parent / "bundle_files"
_NEEDED = ("cyclonedx", "packaging", "pip")
_GLIBCS = (*range(17, 35),)
_SPARE_KB = 40_000
_LICENCES = re.compile(r"(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS|ThirdPartyNotices)[^/]*$", re.IGNORECASE)

Listener = Callable[[str], None]
"""Told what is done now."""


@dataclass(frozen=True)
class Platform:
    """What a bundle is for.

    Attributes:
        name: as the user says it.
        machine: as `uname -m` says it.
    """

    name: str
    machine: str

    @property
    def tags(self) -> list[str]:
        """Platform tags of wheels that run there, on glibc 2.34 and older (PEP 600)."""
        old = ["manylinux2014", *(["manylinux2010", "manylinux1"] if self.machine == "x86_64" else [])]
        return [
            f"{tag}_{self.machine}"
            for tag in (*(f"manylinux_2_{minor}" for minor in reversed(_GLIBCS)), *old)
        ]


PLATFORMS = {
    platform.name: platform
    for platform in (Platform("linux-aarch64", "aarch64"), Platform("linux-x86_64", "x86_64"))
}


@dataclass(frozen=True)
class Order:
    """What to bundle.

    Attributes:
        models: bundled ones by name, or `.onnx` files.
        out: a folder that is not there yet, or a `.tar.gz`.
        platform: what for.
        python: its Python, such as `3.11`.
        extras: of `EXTRAS`.
        wheel: edge-fm's own; None builds it from the checkout that this runs from.
    """

    models: Sequence[str]
    out: Path
    platform: Platform
    python: str
    extras: tuple[str, ...] = ()
    wheel: Path | None = None


@dataclass(frozen=True)
class Bundle:
    """What was made.

    Attributes:
        path: the folder or archive.
        size_bytes: of all files.
        installed_bytes: what the wheels take once installed.
        wheels: (name, version) of each.
    """

    path: Path
    size_bytes: int
    installed_bytes: int
    wheels: tuple[tuple[str, str], ...]


def find_platform(name: str) -> Platform:
    """Return a platform.

    Raises:
        DataError: there is none of that name, with what stands in the way of it.
    """
    if name in PLATFORMS:
        return PLATFORMS[name]
    reason = ""
    if "arm" in name:
        reason = ": onnxruntime has no wheel for 32-bit ARM, so give the device a 64-bit system"
    raise DataError(f"there is no bundle for {name!r}{reason}. There is {', '.join(PLATFORMS)}")


def make(order: Order, listener: Listener) -> Bundle:
    """Make a bundle; it appears only when it is whole.

    Args:
        order: what to make.
        listener: told what is done.

    Raises:
        DataError: the extra is not installed, a wheel is missing for the platform and Python, or edge-fm's own cannot be built.
        ModelError: a model cannot be used, or does not answer here as it did where it was exported.
        OutputError: there is something in the way.
    """
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise DataError(f"a bundle needs {', '.join(missing)}: pip install 'edge-fm[bundle]'")
    is_archive = order.out.name.endswith((".tar.gz", ".tgz"))
    if order.out.exists():
        raise OutputError(f"{order.out} is there already: give another one with -o, or remove it")
    if not order.out.parent.is_dir():
        raise OutputError(
            f"the folder {order.out.parent} does not exist: make it, or choose another one with -o"
        )
    models = {_file_name(model): _verified(model) for model in order.models}
    if len(models) < len(order.models):
        raise DataError("two models have the same file name: rename one")
    with tempfile.TemporaryDirectory(dir=order.out.parent, prefix=".bundle-") as scratch:
        name = order.out.name.removesuffix(".tar.gz").removesuffix(".tgz") if is_archive else order.out.name
        folder = Path(scratch, name)
        for part in ("wheels", "models", "licences"):
            (folder / part).mkdir(parents=True)
        for file, data in models.items():
            (folder / "models" / file).write_bytes(data)
        listener("edge-fm's own wheel")
        _own_wheel(order, folder / "wheels")
        listener("wheels")
        pins = pinned(order.python, order.platform, order.extras)
        _download([*pins, ("pip", _distribution("pip").version)], order, folder / "wheels")
        listener("sums")
        wheels = sorted((folder / "wheels").glob("*.whl"))
        _keep_licences(wheels, folder / "licences")
        installed = sum(
            sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist()) for wheel in wheels
        )
        from edge_fm import sbom

        (folder / "sbom.cdx.json").write_text(sbom.of(wheels, models, name), encoding="utf-8")
        _write_scripts(order, folder, wheels, installed, tuple(models))
        _write_sums(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        listener("writing")
        _put(folder, order.out, is_archive=is_archive)
    return Bundle(order.out, size, installed, tuple(sbom.named(wheel) for wheel in wheels))


def pinned(python: str, platform: Platform, extras: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, version) of all that the device install needs there, in the versions that are installed here.

    Args:
        python: such as `3.11`.
        platform: what for.
        extras: of edge-fm.

    Raises:
        DataError: one is not installed here.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    there = {
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
        for text in _distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate(there | {"extra": extra}):
                continue
            needed: str = canonicalize_name(requirement.name)
            needed = "opencv-python-headless" if needed == "opencv-python" else needed
            found[needed] = _distribution(needed).version
            for wanted in {(needed, wanted) for wanted in ("", *requirement.extras)} - seen:
                seen.add(wanted)
                waiting.append(wanted)
    return sorted(found.items())


def _distribution(name: str) -> importlib.metadata.Distribution:
    """Return an installed distribution; either OpenCV stands for the other."""
    for known in (name, *(["opencv-python"] if name == "opencv-python-headless" else [])):
        try:
            return importlib.metadata.distribution(known)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise DataError(
        f"{name} is not installed here, and a bundle takes the versions that are: pip install {name}, or the extra of edge-fm that needs it"
    )


def _file_name(model: str) -> str:
    return f"{model}.onnx" if model in BUNDLED else Path(model).name


def _verified(model: str) -> bytes:
    data = read_model(model)
    different = [result for result in replay(Classifier.from_bytes(data)) if result.stage]
    if different:
        raise ModelError(
            f"{model}: {len(different)} golden inputs answer otherwise than where it was exported: 'edge-fm verify {model}' says more"
        )
    return data


def _own_wheel(order: Order, folder: Path) -> None:
    if order.wheel is not None:
        if not re.fullmatch(r"edge_fm-[^-]+-py3-none-any\.whl", order.wheel.name) or not zipfile.is_zipfile(
            order.wheel
        ):
            raise DataError(
                f"{order.wheel} is no wheel of edge-fm, such as edge_fm-{__version__}-py3-none-any.whl"
            )
        shutil.copy(order.wheel, folder)
        return
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / "pyproject.toml").is_file():
        raise DataError(
            "edge-fm's own wheel is built from a checkout, and this is none: give --wheel edge_fm-VERSION-py3-none-any.whl"
        )
    done = _pip("wheel", "--no-deps", "-w", str(folder), str(checkout))
    if done.returncode:
        raise DataError(f"edge-fm's own wheel cannot be built: {_last_line(done.stderr)}")


def _download(pins: Sequence[tuple[str, str]], order: Order, folder: Path) -> None:
    tags = [word for tag in order.platform.tags for word in ("--platform", tag)]
    abi = f"cp{order.python.replace('.', '')}"
    abis = [word for tag in (abi, "abi3", "none") for word in ("--abi", tag)]
    done = _pip(
        *("download", "--no-deps", "--only-binary=:all:", "-d", str(folder), *tags, *abis),
        *("--implementation", "cp", "--python-version", order.python),
        *(f"{name}=={version}" for name, version in pins),
    )
    if done.returncode:
        lacking = re.search(r"No matching distribution found for (\S+)", done.stderr)
        if lacking is not None:
            raise DataError(
                f"there is no wheel of {lacking[1]} for {order.platform.name} and Python {order.python}: "
                "choose another --python, or install another version here that has one"
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


def _keep_licences(wheels: Sequence[Path], folder: Path) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                if _LICENCES.match(Path(entry).name) and not entry.endswith((".py", "/")):
                    target = folder / wheel.name.split("-")[0] / entry.replace("/", "_")
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(archive.read(entry))


def _write_scripts(
    order: Order, folder: Path, wheels: Sequence[Path], installed: int, models: tuple[str, ...]
) -> None:
    names = [f"./{wheel.name}" for wheel in wheels if not wheel.name.startswith("pip-")]
    (folder / "wheels.txt").write_text("\n".join(names) + "\n")
    content = hashlib.sha256("".join(f"{path.name} {_sum(path)}\n" for path in _files(folder)).encode())
    filled = {
        "@MACHINE@": order.platform.machine,
        "@PLATFORM@": order.platform.name,
        "@PYTHON@": order.python,
        "@VERSION@": __version__,
        "@NEED_KB@": str(installed // 1024 + _SPARE_KB),
        "@RELEASE@": f"{__version__}-{content.hexdigest()[:12]}",
        "@MODELS@": ", ".join(models),
    }
    for source in _FILES.iterdir():
        text = source.read_text(encoding="utf-8")
        for word, value in filled.items():
            text = text.replace(word, value)
        target = folder / source.name
        target.write_text(text, encoding="utf-8")
        target.chmod(0o755 if source.suffix == ".sh" else 0o644)


def _write_sums(folder: Path) -> None:
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines))


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _put(folder: Path, out: Path, *, is_archive: bool) -> None:
    try:
        if is_archive:
            partial = folder.with_name("archive")
            with tarfile.open(partial, "w:gz", compresslevel=6) as archive:
                archive.add(folder, folder.name, filter=_anybodys)
            partial.replace(out)
        else:
            folder.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def _anybodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made it and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def describe(bundle: Bundle) -> str:
    """Return a bundle's figures as JSON."""
    return json.dumps(
        {
            "path": str(bundle.path),
            "size_bytes": bundle.size_bytes,
            "installed_bytes": bundle.installed_bytes,
            "wheels": dict(bundle.wheels),
        },
        indent=2,
    )
