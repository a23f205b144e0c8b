"""Read model files, bundled ones by name and others by path, and check them without onnxruntime."""

import functools
import os
from pathlib import Path

from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.passport import KEY, Passport
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.untrusted import regular_file

BUNDLED = ("fashion", "fashion-nano", "digits")
"""Names of the models that come with the package."""

_FOLDER = Path(__file__).parents[1] / "models"


def read_model(model: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a bundled model or of a file.

    Args:
        model: the name of a bundled model, or a path.

    Raises:
        ModelError: the file is missing, cannot be read, or is over the size cap.
    """
    if isinstance(model, str) and model in BUNDLED:
        return _read_bundled(model)
    try:
        return regular_file.read_bytes(model, onnx_file.MAX_MODEL_BYTES)
    except FileNotFoundError:
        raise ModelError(
            f"there is no model {str(model)!r}: give the path of an .onnx file, or one of {', '.join(BUNDLED)}"
        ) from None
    except OSError as error:
        raise ModelError(
            f"{model} cannot be read as a model: {error.strerror}. Give an .onnx file that 'edge-fm export' has written"
        ) from None


def read_passport(data: bytes) -> Passport | None:
    """Return the checked passport in the bytes of a model file, None if it has none.

    Raises:
        ModelError: the file is refused, or its passport is broken or not sealed.
    """
    file = onnx_file.parse(data)
    text = file.metadata.get(KEY)
    if text is None:
        return None
    if not file.sealed:
        raise ModelError("the model's passport has no seal, so it cannot be trusted: export the model again")
    return Passport.from_json(text)


@functools.cache
def _read_bundled(name: str) -> bytes:
    return (_FOLDER / f"{name}.onnx").read_bytes()
