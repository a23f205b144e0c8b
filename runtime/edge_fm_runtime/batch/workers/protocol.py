"""Messages between parent and worker: a length of four bytes and a pickle, over pipes."""

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any

from edge_fm_runtime.batch.options import RowOptions

POSITION = struct.Struct("<QQ")
"""Number of inputs begun, and the position of the current one."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Job:
    """Job of a worker.

    Attributes:
        model: the model file's bytes.
        labels: for a model without a passport.
        language: of the labels, None for the model's own.
        options: what rows depend on.
        memory_bytes: how much the worker may take on top of what the loaded model takes.
    """

    model: bytes
    labels: tuple[str, ...] | None
    language: str | None
    options: RowOptions
    memory_bytes: int


def send(stream: IO[bytes], message: object) -> None:
    """Write one message."""
    data = pickle.dumps(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:  # noqa: ANN401  # whatever was sent
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  # from our own other half
