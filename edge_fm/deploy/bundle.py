"""A folder that installs edge-fm and its models on a device that has no network.

Wheels are those of the versions that are installed here, so what runs there was tried here; only the platform differs, and OpenCV is
the headless one. The device needs Python and its standard library, and nothing is compiled on it.
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
"""Told what is done now."""


@dataclass(frozen=True)
class BundleRequest:
    """What to bundle.

    Attributes:
        models: bundled ones by name, or `.onnx` files.
        out: a folder that is not there yet, or a `.tar.gz`.
        platform: what for.
        python: its Python, such as `3.11`.
        extras: of `wheels.EXTRAS`.
        wheel: edge-fm's own; None builds it from the checkout that this runs from.
    """

    models: Sequence[str]
    out: Path
    platform: wheels.Platform
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


def make(order: BundleRequest, listener: Listener) -> Bundle:
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
        wheels.put_own(order.wheel, folder / "wheels")
        listener("wheels")
        pins = wheels.pinned(order.python, order.platform, order.extras)
        pins.append(("pip", wheels.distribution("pip").version))
        wheels.download(pins, order.platform, order.python, folder / "wheels")
        listener("sums")
        fetched = sorted((folder / "wheels").glob("*.whl"))
        _keep_licences(fetched, folder / "licences")
        installed = sum(
            sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist()) for wheel in fetched
        )
        from edge_fm.deploy import sbom

        (folder / "sbom.cdx.json").write_text(sbom.of(fetched, models, name), encoding="utf-8")
        _write_scripts(order, folder, fetched, installed, tuple(models))
        _write_sums(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        listener("writing")
        _put(folder, order.out, is_archive=is_archive)
    return Bundle(order.out, size, installed, tuple(sbom.named(wheel) for wheel in fetched))


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


def _keep_licences(fetched: Sequence[Path], folder: Path) -> None:
    for wheel in fetched:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                if _LICENCES.match(Path(entry).name) and not entry.endswith((".py", "/")):
                    target = folder / wheel.name.split("-")[0] / entry.replace("/", "_")
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(archive.read(entry))


def _write_scripts(
    order: BundleRequest, folder: Path, fetched: Sequence[Path], installed: int, models: tuple[str, ...]
) -> None:
    names = [f"./{wheel.name}" for wheel in fetched if not wheel.name.startswith("pip-")]
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
