"""Make a bundle: a folder or archive that installs edge-fm and models on a device without a network.

The wheels have the versions that are installed here, so the device runs tested versions. Only the platform
differs, and OpenCV is the headless build. The device needs Python with its standard library and no compiler.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fm.deploy import wheels
from edge_fm_runtime import __version__
from edge_fm_runtime.artifact.model_file import BUNDLED, read_model
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError, ModelError, OutputError
from edge_fm_runtime.golden import replay

_FILES = Path(__file__).parent / "bundle_files"
_NEEDED = ("cyclonedx", "packaging", "pip")
_SPARE_KB = 40_000
_LICENCES = re.compile(r"(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS|ThirdPartyNotices)[^/]*$", re.IGNORECASE)

Listener = Callable[[str], None]
"""Called with the name of each step."""


@dataclass(frozen=True, kw_only=True)
class BundleRequest:
    """Content, target and path of a bundle.

    Attributes:
        models: names of bundled models, or paths of `.onnx` files.
        out: path of a new folder, or of a new `.tar.gz` file.
        platform: platform of the device.
        python: Python version of the device, such as `3.11`.
        extras: extras of edge-fm, from `wheels.EXTRAS`.
        wheel: path of edge-fm's wheel; None builds it from the checkout.
    """

    models: Sequence[str]
    out: Path
    platform: wheels.Platform
    python: str
    extras: tuple[str, ...] = ()
    wheel: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A finished bundle.

    Attributes:
        path: folder or archive.
        size_bytes: total size of the files.
        installed_bytes: size of the unpacked wheels.
        wheels: (name, version) of each wheel.
    """

    path: Path
    size_bytes: int
    installed_bytes: int
    wheels: tuple[tuple[str, str], ...]


def make(request: BundleRequest, listener: Listener) -> Bundle:
    """Make a bundle; `request.out` appears only when it is complete.

    Args:
        request: content, target and path.
        listener: called with the name of each step.

    Raises:
        DataError: the extra is not installed, a wheel is missing for the platform and Python, or edge-fm's
            wheel cannot be built.
        ModelError: a model cannot be used, or its golden inputs give other results than at export.
        OutputError: the path exists or cannot be written.
    """
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise DataError(f"a bundle needs {', '.join(missing)}: run pip install 'edge-fm[bundle]'")
    is_archive = request.out.name.endswith((".tar.gz", ".tgz"))
    if request.out.exists():
        raise OutputError(f"{request.out} exists already: choose another path with -o, or remove it")
    if not request.out.parent.is_dir():
        raise OutputError(
            f"the folder {request.out.parent} does not exist: create it, or choose another path with -o"
        )
    models = {_file_name(model): _read_verified(model) for model in request.models}
    if len(models) < len(request.models):
        raise DataError("two models have the same file name: rename one of them")
    with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=".bundle-") as scratch:
        name = (
            request.out.name.removesuffix(".tar.gz").removesuffix(".tgz") if is_archive else request.out.name
        )
        folder = Path(scratch, name)
        for part in ("wheels", "models", "licences"):
            (folder / part).mkdir(parents=True)
        for file, data in models.items():
            (folder / "models" / file).write_bytes(data)
        listener("edge-fm's wheel")
        wheels.copy_own_wheel(request.wheel, folder / "wheels")
        listener("wheels")
        pins = wheels.pin_versions(request.python, request.platform, request.extras)
        pins.append(("pip", wheels.distribution("pip").version))
        wheels.download(pins, request.platform, request.python, folder / "wheels")
        listener("checksums")
        fetched = sorted((folder / "wheels").glob("*.whl"))
        _copy_licences(fetched, folder / "licences")
        installed = sum(
            sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist()) for wheel in fetched
        )
        from edge_fm.deploy import sbom

        (folder / "sbom.cdx.json").write_text(sbom.make_sbom(fetched, models, name), encoding="utf-8")
        _write_scripts(request, folder, fetched, installed, tuple(models))
        _write_checksums(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        listener("writing")
        _move(folder, request.out, is_archive=is_archive)
    return Bundle(
        path=request.out,
        size_bytes=size,
        installed_bytes=installed,
        wheels=tuple(sbom.name_and_version(wheel) for wheel in fetched),
    )


def _file_name(model: str) -> str:
    return f"{model}.onnx" if model in BUNDLED else Path(model).name


def _read_verified(model: str) -> bytes:
    data = read_model(model)
    different = [result for result in replay(Classifier.from_bytes(data)) if result.stage]
    if different:
        raise ModelError(
            f"{model}: {len(different)} golden inputs give other results than at export: run 'edge-fm verify {model}' for details"
        )
    return data


def _copy_licences(fetched: Sequence[Path], folder: Path) -> None:
    for wheel in fetched:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                if _LICENCES.match(Path(entry).name) and not entry.endswith((".py", "/")):
                    target = folder / wheel.name.split("-")[0] / entry.replace("/", "_")
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(archive.read(entry))


def _write_scripts(
    request: BundleRequest, folder: Path, fetched: Sequence[Path], installed: int, models: tuple[str, ...]
) -> None:
    names = [f"./{wheel.name}" for wheel in fetched if not wheel.name.startswith("pip-")]
    (folder / "wheels.txt").write_text("\n".join(names) + "\n")
    content = hashlib.sha256("".join(f"{path.name} {_sha256(path)}\n" for path in _files(folder)).encode())
    filled = {
        "@MACHINE@": request.platform.machine,
        "@PLATFORM@": request.platform.name,
        "@PYTHON@": request.python,
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


def _write_checksums(folder: Path) -> None:
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines))


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _move(folder: Path, out: Path, *, is_archive: bool) -> None:
    try:
        if is_archive:
            partial = folder.with_name("archive")
            with tarfile.open(partial, "w:gz", compresslevel=6) as archive:
                archive.add(folder, folder.name, filter=_anonymous)
            partial.replace(out)
        else:
            folder.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Remove owner and time from an archive entry, so that archives are reproducible."""
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
