"""An onnxruntime session configured for small models, and checks against the passport."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import ModelError

INPUT, OUTPUT = "image", "probabilities"

_MAX_BATCH = 8
"""Images per inference; with more, the activations no longer fit in the processor's cache."""


class Session(Protocol):
    """Interface that the classifier needs: images in, probabilities out. Tests pass their own."""

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, classes) float32 for (N, height, width, channels) uint8."""
        ...


class OnnxSession:
    """A model in onnxruntime on one thread; more threads are slower for networks of this size.

    The memory arena stays on: without it, the system maps the activations anew for each batch
    (docs/export.md).
    """

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            # The fallback would try the same provider again, and print.
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            names = [value.name for value in (*inputs, *outputs)]
            shapes = [tuple(value.shape) for value in (*inputs, *outputs)]
        except Exception as error:  # onnxruntime does not export all of its exceptions
            raise ModelError(
                f"onnxruntime {onnxruntime.__version__} cannot open the model: {_reason(error)}. "
                "Export it again, or update onnxruntime"
            ) from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each, images and "
                "probabilities: export it from its source with 'edge-fm export'"
            )
        self._input, self._output = names
        self.input_type: str = inputs[0].type
        self.input_shape: tuple[int | str | None, ...]
        self.output_shape: tuple[int | str | None, ...]
        self.input_shape, self.output_shape = shapes
        batch = self.input_shape[0] if self.input_shape else None
        self.fixed_batch = batch if isinstance(batch, int) else None
        self._dtype: type[np.uint8 | np.float32] = np.uint8

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, classes) float32 for (N, height, width, channels) uint8.

        Raises:
            ModelError: onnxruntime fails, or the graph does not return one row per image.
        """
        if self.fixed_batch is not None and len(images) != self.fixed_batch:
            return self._run_fixed(images, self.fixed_batch)
        if len(images) > _MAX_BATCH:
            return np.concatenate(
                [self._run(images[start : start + _MAX_BATCH]) for start in range(0, len(images), _MAX_BATCH)]
            )
        return self._run(images)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        tensor = images if self._dtype is np.uint8 else images.astype(np.float32) / np.float32(255)
        try:
            result: NDArray[np.float32] = self._session.run([self._output], {self._input: tensor})[0]
        except Exception as error:  # as above
            raise ModelError(
                f"onnxruntime cannot run the model: {_reason(error)}. Export it again"
            ) from error
        if result.shape[:1] != tensor.shape[:1]:
            raise ModelError(
                f"the model returned the shape {list(result.shape)} for {len(tensor)} images, expected one row per image: "
                "export it again"
            )
        return result

    def _run_fixed(self, images: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Run a model with a fixed batch size on any number of images; zeros pad the last batch."""
        missing = -len(images) % batch
        padded = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
        rows = [self._run(padded[start : start + batch]) for start in range(0, len(padded), batch)]
        return np.concatenate(rows)[: len(images)]

    def check(self, spec: InputSpec, classes: int) -> None:
        """Refuse a model whose graph does not match its passport.

        Raises:
            ModelError: the input type, the shape or the number of outputs differs.
        """
        if self.input_type != "tensor(uint8)" or self.input_shape[1:] != spec.shape:
            raise ModelError(
                f"the model takes {self.input_type} {list(self.input_shape)}, but its passport says uint8 "
                f"[N, {', '.join(map(str, spec.shape))}]: export it again"
            )
        self._check_classes(classes)

    def infer_input_spec(self, classes: int) -> InputSpec:
        """Infer the input of a model without a passport: uint8, or float32 assumed to be in [0, 1].

        Raises:
            ModelError: the input is not (N, height, width, 1 or 3), or the number of outputs differs.
        """
        types: dict[str, type[np.uint8 | np.float32]] = {
            "tensor(uint8)": np.uint8,
            "tensor(float)": np.float32,
        }
        height, width, channels = self.input_shape[1:] if len(self.input_shape) == 4 else (None, None, None)  # noqa: PLR2004
        if (
            self.input_type not in types
            or not isinstance(height, int)
            or not isinstance(width, int)
            or channels not in {1, 3}
        ):
            raise ModelError(
                f"the model takes {self.input_type} {list(self.input_shape)}, expected uint8 or float32 "
                "[N, height, width, 1 or 3]: export it from its source with 'edge-fm export'"
            )
        self._dtype = types[self.input_type]
        self._check_classes(classes)
        return InputSpec(height, width, int(channels))

    def _check_classes(self, classes: int) -> None:
        if len(self.output_shape) != 2 or self.output_shape[1] != classes:  # noqa: PLR2004
            raise ModelError(
                f"the model returns {list(self.output_shape)}, but there are {classes} labels: expected [N, {classes}]. "
                "Give as many labels as the model has outputs, or export it again"
            )


def _reason(error: Exception) -> str:
    """Return the first line of an error message, or the name of the class if it is empty.

    Python 3.11.2, the version in Debian 12, drops a message that is not UTF-8.
    """
    return next(iter(str(error).splitlines()), type(error).__name__)
