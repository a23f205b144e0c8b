"""Show a feed as text, one line per change of label."""

from collections.abc import Callable

from edge_fm_runtime.classifier import Prediction
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.status import Status


def format_prediction(prediction: Prediction) -> str:
    """Return the label for display; an unknown one becomes a question."""
    return prediction.label if prediction.status is Status.OK else f"unknown ({prediction.label}?)"


class TextView:
    """Prints the label when it changes; lines reach a pipe at once."""

    def __init__(self, say: Callable[[str], None], note: Callable[[str], None] = lambda _text: None) -> None:
        """Create a view that prints through two functions.

        Args:
            say: takes a line for each change of label.
            note: called with messages about the source, such as that it is lost.
        """
        self._say, self._note = say, note
        self._last = self._last_notice = ""
        self._began_s: float | None = None

    def show(self, reading: FrameResult) -> bool:
        """Print seconds since the first frame, label and confidence if the label has changed."""
        began_s = self._began_s = reading.at_s if self._began_s is None else self._began_s
        if self._last_notice:
            self._last_notice = ""
            self._note("frames again")
        label = format_prediction(reading.prediction)
        if label != self._last:
            self._last = label
            self._say(f"{reading.at_s - began_s:8.2f} s  {label}  {reading.prediction.confidence:.1%}")
        return True

    def wait(self, notice: str) -> bool:
        """Print a new message of the source."""
        if notice and notice != self._last_notice:
            self._last_notice = notice
            self._note(notice)
        return True

    def close(self) -> None:
        """Do nothing: nothing stays open."""
