"""The feed as text: one line for each change of label."""

import time
from collections.abc import Callable

from edge_fm_runtime.live.loop import Reading
from edge_fm_runtime.status import Status


class TextView:
    """Say the label when it changes; with standard output a pipe, each line is there at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: str | None = None
        self._started_s = time.monotonic()

    def show(self, reading: Reading) -> bool:
        """Print seconds since the start, label and confidence if the label is another one."""
        prediction = reading.prediction
        label = prediction.label if prediction.status is Status.OK else f"unknown ({prediction.label}?)"
        if label != self._last:
            self._last = label
            self._say(f"{time.monotonic() - self._started_s:8.2f} s  {label}  {prediction.confidence:.1%}")
        return True

    def close(self) -> None:
        """Nothing to let go of."""
