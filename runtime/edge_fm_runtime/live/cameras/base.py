"""Interface of every source of frames."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BgrImage = NDArray[np.uint8]
"""(height, width, 3) uint8 in blue, green, red order; (height, width) grey where that was asked for."""


@dataclass(frozen=True)
class Frame:
    """One frame of a feed.

    Attributes:
        frame_bgr: the picture.
        taken_s: when it was there, in seconds of `time.monotonic`.
        at_s: its place in the feed, in seconds: a file's own time, `taken_s` for a live source.
        greys: (256,) uint8, the grey that each level of a grey frame stands for; None if they are greys.
    """

    frame_bgr: BgrImage
    taken_s: float
    at_s: float
    greys: NDArray[np.uint8] | None = None


class Camera(Protocol):
    """A source of frames."""

    @property
    def ended(self) -> bool:
        """Return whether the source has ended."""
        ...

    @property
    def notice(self) -> str:
        """Return a message for the user, such as that the source is being reconnected; mostly empty."""
        ...

    @property
    def dropped(self) -> int:
        """Return the number of frames that were dropped for a newer one."""
        ...

    def read(self, wait_s: float) -> list[Frame]:
        """Return the next frame, several if they wait and all count; none after `wait_s` or the end.

        Raises:
            SourceError: it never gave a frame.
        """
        ...

    def close(self) -> None:
        """Close the device or file."""
        ...
