"""Run a foreign ONNX model in onnxruntime, whatever its batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.sources.input_layout import Shape
from edge_fm_runtime.errors import ModelError

_TYPES: dict[str, type[np.float32 | np.uint8]] = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
_BATCH = 8


@dataclass(frozen=True)
class Answer:
    """An output for a batch.

    Attributes:
        name: name of the output.
        values: what onnxruntime returned: an array, or for other types a list.
    """

    name: str
    values: Any

    @property
    def description(self) -> str:
        """Name, type and shape."""
        if not isinstance(self.values, np.ndarray):
            return f"{self.name!r:.80} no tensor"
        return f"{self.name!r:.80} {self.values.dtype} {self.values.shape}"

    @property
    def row(self) -> int:
        """Length of its rows (N, length), axes of length 1 apart; 0 if it has no rows of floats."""
        if not isinstance(self.values, np.ndarray) or self.values.dtype.kind != "f":
            return 0
        lengths = [length for length in self.values.shape[1:] if length != 1] or [1]
        return int(lengths[0]) if self.values.ndim > 1 and len(lengths) == 1 else 0

    @property
    def classes(self) -> int:
        """Number of classes that its rows tell apart: one number tells two."""
        return max(2, self.row)


class ForeignSession:
    """A foreign model in onnxruntime."""

    def __init__(self, path: Path, data: bytes) -> None:
        """Open a model.

        Args:
            path: its file, for messages.
            data: the model.

        Raises:
            ModelError: onnxruntime cannot, or its input is no one tensor of float32 or uint8.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._path = path
        try:
            # The fallback would try the same provider again, and print.
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime does not export all of its exceptions
            raise ModelError(
                f"onnxruntime {onnxruntime.__version__} cannot open {path}: {first_line(error)}. Export it again with the "
                "program that made it, or update onnxruntime"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES:
            found = ", ".join(f"{value.name!r:.80} {value.type} {value.shape}" for value in inputs)
            raise ModelError(
                f"{path} takes {found or 'nothing'}, expected one input, images of float or uint8"
            )
        self._input = inputs[0].name
        self._dtype = _TYPES[inputs[0].type]
        self.shape: Shape = tuple(
            length if isinstance(length, int) and length > 0 else None for length in inputs[0].shape
        )
        self.batch = self.shape[0] if self.shape else None
        self.takes_pixels = self._dtype is np.uint8

    def probe(self, images: NDArray[np.float32]) -> list[Answer]:
        """Return every output for images; a model that fails on them as a batch is run image by image.

        Raises:
            ModelError: onnxruntime fails.
        """
        try:
            return self.run(images)
        except ModelError:
            if self.batch is not None:
                raise
        self.batch = 1
        return self.run(images[:1])

    def run(self, images: NDArray[np.float32]) -> list[Answer]:
        """Return every output for images in the input's shape.

        Raises:
            ModelError: onnxruntime fails.
        """
        if self._dtype is np.uint8:
            images = np.clip(np.rint(images), 0, 255)
        try:
            values = self._session.run(None, {self._input: images.astype(self._dtype)})
        except Exception as error:  # as above
            raise ModelError(
                f"{self._path} cannot be run on a batch {images.shape}: {first_line(error)}. Export it again with the "
                "program that made it"
            ) from error
        return [
            Answer(output.name, value)
            for output, value in zip(self._session.get_outputs(), values, strict=True)
        ]

    def rows(self, images: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """Return the rows of one output for any number of images, as the model's batch lets them be run.

        Raises:
            ModelError: onnxruntime fails, or there is not one row for each image.
        """
        size = self.batch or _BATCH
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            missing = size - len(part) if self.batch is not None else 0
            padded = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)])
            answer = next(answer for answer in self.run(padded) if answer.name == name)
            if answer.values.shape[:1] != padded.shape[:1]:
                raise ModelError(
                    f"{self._path} answers {answer.description} for {len(padded)} images, expected one row for each"
                )
            parts.append(answer.values[: len(part)].astype(np.float32))
        return np.concatenate(parts)


def first_line(error: Exception) -> str:
    """Return the first line of an error message, or the name of its class if it is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)
