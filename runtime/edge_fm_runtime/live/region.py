"""Choose the part of a frame that is classified."""

import re
from dataclasses import dataclass

from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import SourceError

CENTRE, FULL = "centre", "full"
_BOX = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})")
_SMALLEST = 8

_KEPT = 0.9
"""Smallest fraction of the frame's shorter side that `centre` takes."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame, in its pixels: left and top edge, width and height."""

    x: int
    y: int
    width: int
    height: int

    def inside(self, width: int, height: int) -> "Box":
        """Return the nearest box that lies within a frame, at least 8 pixels large where the frame is."""
        w = min(width, max(_SMALLEST, self.width))
        h = min(height, max(_SMALLEST, self.height))
        return Box(min(max(0, self.x), width - w), min(max(0, self.y), height - h), w, h)

    def holds(self, x: int, y: int) -> bool:
        """Return whether a point lies in the box."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass
class Region:
    """Part of the frame that is classified; a window may change it while the feed runs.

    Attributes:
        wanted: `centre`, a large square in the middle; `full`; or a box, which is moved into smaller frames.
        unit: pixels of the model's input along a side. `centre` is then the largest multiple of it by as high
            a power of two as leaves nine tenths of the frame's shorter side, so that halving brings it to the
            input: 448 of 480 for an input of 28. With 0 it is the largest square.
    """

    wanted: str | Box = FULL
    unit: int = 0

    def suit(self, spec: InputSpec) -> None:
        """Fit `centre` to a model's input."""
        self.unit = spec.height if spec.height == spec.width else 0

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Parse `centre`, `full` or `x,y,w,h`.

        Raises:
            SourceError: it is none of these.
        """
        if text in {CENTRE, FULL}:
            return cls(text)
        found = _BOX.fullmatch(text.replace(" ", ""))
        if found is None or "0" in found.group(3, 4):
            raise SourceError(
                f"{text!r} is no region: give centre, full, or x,y,w,h in pixels, such as 80,0,480,480"
            )
        return cls(Box(*map(int, found.groups())))

    def box(self, width: int, height: int) -> Box:
        """Return the region of a frame of this size, in pixels."""
        if isinstance(self.wanted, Box):
            return self.wanted.inside(width, height)
        if self.wanted == FULL:
            return Box(0, 0, width, height)
        side = self._side(min(width, height))
        return Box((width - side) // 2, (height - side) // 2, side, side)

    def _side(self, shorter: int) -> int:
        side, step = shorter, self.unit
        while step and shorter // step * step >= _KEPT * shorter:
            side = shorter // step * step
            step *= 2
        return side
