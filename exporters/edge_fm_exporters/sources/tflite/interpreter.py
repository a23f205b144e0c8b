"""Run a `.tflite` file as TensorFlow Lite does."""

import warnings

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import import_tensorflow
from edge_fm_exporters.sources.tflite.model import LiteModel, Tensor
from edge_fm_exporters.sources.tflite.pixels import as_integers
from edge_fm_runtime.errors import ExportError, ModelError


class Interpreter:
    """TensorFlow Lite's interpreter on a file whose operators have been checked."""

    def __init__(self, model: LiteModel, shape: tuple[int, ...]) -> None:
        """Set up the interpreter.

        Args:
            model: the file.
            shape: of its input, with the batch axis of the file and no open axis.

        Raises:
            ExportError: the installed TensorFlow has no interpreter.
            ModelError: the interpreter refuses the file.
        """
        lite = import_tensorflow().lite
        if not hasattr(lite, "Interpreter"):
            raise ExportError(
                "the installed TensorFlow has no TensorFlow Lite interpreter: run pip install 'tensorflow==2.21.0'"
            )
        self._input, self._output, self._batch = model.input, model.output, shape[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the interpreter's move to another package
            try:
                # Without delegates, which would change the sums' order and print that they begin.
                self._interpreter = lite.Interpreter(
                    model_content=model.data,
                    num_threads=1,
                    experimental_op_resolver_type=lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )
                self._interpreter.resize_tensor_input(model.input_index, shape)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{model.path} is refused by TensorFlow Lite ({str(error).splitlines()[0]}): convert it again"
                ) from error
        self._ends = model.input_index, model.output_index

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs for images in the input's shape, in real numbers."""
        # One run for each image, or as many as the file has: a reshape in it may hold its batch fixed.
        parts = [self._run(batch[start : start + self._batch]) for start in range(0, len(batch), self._batch)]
        return np.concatenate(parts)[: len(batch)]

    def _run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = self._batch - len(images)
        images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
        is_float = np.issubdtype(self._input.dtype, np.floating)
        self._interpreter.set_tensor(self._ends[0], images if is_float else as_integers(images, self._input))
        self._interpreter.invoke()
        return _real(self._interpreter.get_tensor(self._ends[1]), self._output)


def _real(numbers: NDArray[np.generic], tensor: Tensor) -> NDArray[np.float32]:
    if not tensor.is_quantized:
        return numbers.astype(np.float32)
    return np.asarray((numbers.astype(np.float32) - tensor.zero_point[0]) * tensor.scale[0], np.float32)
