"""Choose the output of a foreign ONNX model that has the classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_fm_exporters.sources.onnx_session import Answer
from edge_fm_runtime.errors import ModelError

_NEARLY = 1e-3


def class_output(path: Path, given: str, answers: Sequence[Answer]) -> Answer:
    """Return the output that has a row of classes for each image.

    Of several, it is the one whose rows are probabilities.

    Args:
        path: the model, for messages.
        given: name of its input.
        answers: every output for some images.

    Raises:
        ModelError: there is none, or more than one.
    """
    rows = [answer for answer in answers if answer.row]
    if len(rows) > 1 and sum(map(_sums_to_one, rows)) == 1:
        rows = [answer for answer in rows if _sums_to_one(answer)]
    if len(rows) == 1:
        return rows[0]
    found = f"{path} answers {', '.join(answer.description for answer in answers) or 'nothing'}"
    if not rows:
        raise ModelError(
            f"{found}, expected float (N, classes): one row for each image. Detectors and models that answer text, labels "
            "alone or images are no classifiers"
        )
    one = path.with_name("one.onnx")
    raise ModelError(
        f"{found}, and {len(rows)} of these could be the classes, expected one: keep one, such as with python -c "
        f'"import onnx.utils; onnx.utils.extract_model({str(path)!r}, {str(one)!r}, [{given!r}], [{rows[-1].name!r}])"'
    )


def _sums_to_one(answer: Answer) -> bool:
    rows = np.asarray(answer.values, np.float64).reshape(len(answer.values), -1)
    return answer.row > 1 and bool((rows >= 0).all() and np.abs(rows.sum(axis=1) - 1).max() < _NEARLY)
