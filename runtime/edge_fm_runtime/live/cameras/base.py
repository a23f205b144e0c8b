"""What every source of frames offers the loop."""

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
    """Anything that gives frames."""

    @property
    def ended(self) -> bool:
        """Whether no frame will ever come again."""
        ...

    @property
    def notice(self) -> str:
        """What a person should know of it now, such as that it is being connected to again; mostly empty."""
        ...

    @property
    def dropped(self) -> int:
        """How many frames were passed over because a newer one was there."""
        ...

    def read(self, wait_s: float) -> list[Frame]:
        """Return the next frame, or a few where every one counts and they are there; none if none comes within `wait_s`, or ever again.

        Raises:
            SourceError: it never gave a frame.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file."""
        ...
