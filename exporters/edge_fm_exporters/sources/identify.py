"""Tell the format of a model by its content."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge_fm_exporters.sources.archive_limits import MAX_SOURCE_BYTES, check_size
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.untrusted.regular_file import open_file
from edge_fm_runtime.untrusted.zip_directory import open_zip

_HEAD = 64
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TFLITE = b"TFL3"
_KERAS_ARCHIVE = "save it with model.save('name.keras')"
_PYTORCH = (
    "export it to ONNX in the program that trained it: model.eval(); torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "
    "'name.onnx', input_names=['image'], dynamic_axes={'image': {0: 'N'}}, external_data=False), and give that file"
)

ACCEPTED = (
    ".keras, .h5, .hdf5, .tflite, .onnx or .skops file, a SavedModel folder, or a zip from Teachable Machine"
)


@dataclass(frozen=True)
class Identified:
    """Format of a model.

    Attributes:
        module: name of the module in `sources` that reads it.
        path: file or folder to read.
        members: files of the archive `path` to unpack first, the model before its labels; empty for none.
    """

    module: str
    path: Path
    members: tuple[str, ...] = ()


def identify(path: Path) -> Identified:
    """Return the format of a file or folder, by its content and not its suffix.

    Raises:
        ModelError: there is nothing, or no module reads it.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise ModelError(f"there is no model {str(path)!r}: give a run folder, or a {ACCEPTED}")
    try:
        with open_file(path) as file:
            check_size(os.fstat(file.fileno()).st_size)
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}. Give a run folder, or a {ACCEPTED}"
        ) from error
    if head.startswith(_HDF5):
        return Identified("keras", path)
    if head[4:8] == _TFLITE:
        return Identified("tflite", path)
    if zipfile.is_zipfile(path):
        return _archive(path)
    if head.startswith(b"\x80") and path.suffix not in {".keras", ".h5", ".hdf5"}:
        raise ModelError(
            f"{path} is a pickle, which can run any code, so it is not loaded. For scikit-learn, save it with "
            f"skops.io.dump(model, 'name.skops'); for PyTorch, {_PYTORCH}"
        )
    return _by_suffix(path, head)


def _by_suffix(path: Path, head: bytes) -> Identified:
    """Return the format of a file whose content alone does not show it."""
    if path.suffix == ".onnx":
        return Identified("onnx", path)
    if path.suffix == ".skops":
        return Identified("sklearn", path)
    if path.suffix in {".keras", ".h5", ".hdf5"}:
        raise ModelError(f"{path} is no whole Keras model (neither HDF5 nor a zip archive): {_KERAS_ARCHIVE}")
    if path.suffix == ".json" and b"{" in head:
        raise ModelError(
            f"{path} is JSON, such as a TensorFlow.js model has: export the model as Keras instead (in Teachable Machine: "
            "Export Model, Tensorflow, Keras, Download)"
        )
    raise ModelError(f"{path} is no model that can be exported: give a run folder, or a {ACCEPTED}")


def _folder(path: Path) -> Identified:
    if (path / "saved_model.pb").is_file():
        return Identified("saved_model", path)
    models = sorted(
        child
        for child in path.iterdir()
        if child.is_file() and child.suffix in {".h5", ".hdf5", ".keras", ".tflite", ".onnx"}
    )
    trained = [model for model in models if model.suffix != ".onnx"]
    if len(trained or models) == 1:  # an .onnx file beside a trained model is its export
        return identify((trained or models)[0])
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        raise ModelError(
            f"{path} is an unpacked .keras file: give the file itself, or zip the folder's content into one"
        )
    if models:
        raise ModelError(
            f"{path} has {len(models)} models, {', '.join(model.name for model in models)}: give one of them"
        )
    raise ModelError(f"{path} is no run folder and has no model: give a run folder, or a {ACCEPTED}")


def _archive(path: Path) -> Identified:
    try:
        with open_zip(path, MAX_SOURCE_BYTES) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} is no whole archive within the limits ({error}): download it again"
        ) from error
    base = {Path(name).name: name for name in reversed(names)}
    if "config.json" in names or "model.weights.h5" in names:
        return Identified("keras", path)
    if "schema.json" in names:
        return Identified("sklearn", path)
    if any(name.endswith("data.pkl") for name in names):
        raise ModelError(f"{path} is a PyTorch file, which can run any code, so it is not loaded: {_PYTORCH}")
    if "saved_model.pb" in base:
        return Identified("saved_model", path, tuple(names))
    models = [
        name
        for name in names
        if name.endswith((".h5", ".hdf5", ".keras", ".tflite", ".onnx")) and "__MACOSX" not in name
    ]
    if len(models) == 1:
        module = {"tflite": "tflite", "onnx": "onnx"}.get(models[0].rpartition(".")[2], "keras")
        labels = [base["labels.txt"]] if "labels.txt" in base else []
        return Identified(module, path, (models[0], *labels))
    if path.suffix == ".keras":
        raise ModelError(f"{path} is no whole Keras model (it has no config.json): {_KERAS_ARCHIVE}")
    raise ModelError(f"{path} is a zip archive without one model in it: unpack it, and give the model")
