"""An onnxruntime session configured for small models, and checks against the passport."""

import functools
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.posix import limited_memory
from edge_fm_runtime.untrusted.deadline import stop_after

INPUT, OUTPUT = "image", "probabilities"

_MAX_BATCH = 8
"""Images per inference; with more, the activations no longer fit in the processor's cache."""


_SILENT = 4
"""Severity of what onnxruntime logs: nothing below a fatal error."""

_ARENA_BYTES = 1280 * 2**20
"""Most memory for the activations of all models of a process."""

_OPENING_BYTES, _OPENING_COPIES = 512 * 2**20, 4
"""Most memory for opening a model: a fixed part, and copies of the file, which onnxruntime lays out anew."""

_OPENING_S = _FIRST_RUN_S = 10.0
"""Seconds for opening a model, and for its first run; the bundled ones take a hundredth of it."""


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

        try:
            self._session = _open(data)
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
        self._has_run = False

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
            if not self._has_run:
                self._first_run(tensor)
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

    def _first_run(self, tensor: NDArray[np.generic]) -> None:
        """Run the smallest batch, within limits on time and on memory outside the arena too."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = _SILENT
        stop = functools.partial(setattr, options, "terminate", True)
        with stop_after(_FIRST_RUN_S, stop, _overdue(_FIRST_RUN_S)), limited_memory(_ARENA_BYTES):
            self._session.run([self._output], {self._input: tensor[: self.fixed_batch or 1]}, options)
        self._has_run = True

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


def _open(data: bytes) -> Any:  # noqa: ANN401  # onnxruntime ships no types
    """Return the session of a model, opened within limits of time and memory."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = _SILENT
    _register_arena()
    stop = functools.partial(options.set_load_cancellation_flag, True)
    with ExitStack() as limits:
        limits.enter_context(stop_after(_OPENING_S, stop, _overdue(_OPENING_S)))
        limits.enter_context(limited_memory(_OPENING_BYTES + _OPENING_COPIES * len(data)))
        # The fallback would try the same provider again, and print.
        return onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )


@functools.cache
def _register_arena() -> None:
    """Give the sessions of this process one arena with a size limit, in place of one each without."""
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": _ARENA_BYTES}))


def _overdue(seconds: float) -> str:
    return (
        f"the model has not answered within {seconds:g} s, expected milliseconds: export a smaller network, or "
        "check that the file is the one you meant"
    )


def _reason(error: Exception) -> str:
    """Return the first line of an error message, in words if a limit was met.

    It is the name of the class if the message is empty: Python 3.11.2, the version in Debian 12, drops a
    message that is not UTF-8.
    """
    text = next(iter(str(error).splitlines()), type(error).__name__)
    limits = {
        "Available memory of": f"it needs more than {_ARENA_BYTES // 2**20:,} MB for one inference",
        "bad_alloc": "it needs more memory than a small classifier does",
        "terminate flag": f"its first answer takes longer than {_FIRST_RUN_S:g} s",
        "due to user request": f"it takes longer than {_OPENING_S:g} s to open",
    }
    return next((words for mark, words in limits.items() if mark in text), text)
