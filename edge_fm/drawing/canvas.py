"""A sheet of paper to draw on with OpenCV, whose built-in font also knows Hangul and Chinese characters."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.image.opencv import as_uint8, cv2

Colour = tuple[int, int, int]
"""Red, green, blue in [0, 255]."""

INK: Colour = (34, 38, 43)
QUIET: Colour = (110, 116, 122)
LINE: Colour = (222, 225, 228)
PAPER: Colour = (255, 255, 255)
BLUE: Colour = (31, 95, 191)
RED: Colour = (200, 50, 43)
GREEN: Colour = (40, 130, 40)

REGULAR, BOLD = 400, 700


class Canvas:
    """A white picture; lengths are in pixels, from the left and from the top."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels_bgr = np.full((height, width, 3), 255, np.uint8)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        size: int = 22,
        colour: Colour = INK,
        *,
        align: float = 0.0,
        weight: int = REGULAR,
        width: int | None = None,
    ) -> None:
        """Write a line.

        Args:
            text: of any script.
            x: of its left end, its middle or its right end.
            y: of its baseline.
            size: of the letters.
            colour: of the letters.
            align: 0 for the left end at `x`, 0.5 for the middle, 1 for the right end.
            weight: 400 regular, 700 bold.
            width: that it may take; longer text is cut with an ellipsis. None for any.
        """
        text = text if width is None else _shortened(text, size, weight, width)
        left = round(x - align * text_width(text, size, weight))
        cv2.putText(self.pixels_bgr, text, (left, round(y)), colour[::-1], _font(), size, weight)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        if width >= 1 and height >= 1:
            near, far = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
            cv2.rectangle(self.pixels_bgr, near, far, colour[::-1], cv2.FILLED)

    def frame(
        self, x: float, y: float, width: float, height: float, colour: Colour, thickness: int = 3
    ) -> None:
        """Draw the border of a rectangle, inwards."""
        for step in range(thickness):
            near = (round(x) + step, round(y) + step)
            far = (round(x + width) - 1 - step, round(y + height) - 1 - step)
            cv2.rectangle(self.pixels_bgr, near, far, colour[::-1], 1)

    def disc(self, x: float, y: float, radius: float, colour: Colour, share: float = 1.0) -> None:
        """Fill a circle; `share` in [0, 1] is how much of the colour covers what is below."""
        drawn = self.pixels_bgr.copy()
        cv2.circle(drawn, (round(x), round(y)), max(1, round(radius)), colour[::-1], cv2.FILLED, cv2.LINE_AA)
        self.pixels_bgr = as_uint8(cv2.addWeighted(drawn, share, self.pixels_bgr, 1 - share, 0))

    def picture(self, image: NDArray[np.uint8], x: float, y: float, side: int) -> None:
        """Place a model's input, (H, W, 1) or (H, W, 3) uint8 in RGB order, in a square, its pixels kept sharp."""
        code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
        shrinks = max(image.shape[:2]) > side
        how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        self.place(as_uint8(cv2.resize(cv2.cvtColor(image, code), (side, side), interpolation=how)), x, y)

    def place(self, picture_bgr: NDArray[np.uint8], x: float, y: float) -> None:
        """Place a picture, (height, width, 3) uint8 in blue, green, red order, as it is."""
        height, width = picture_bgr.shape[:2]
        self.pixels_bgr[round(y) : round(y) + height, round(x) : round(x) + width] = picture_bgr

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        return bytes(cv2.imencode(".png", self.pixels_bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())

    def save(self, path: Path) -> None:
        """Write the picture as a PNG file.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            path.write_bytes(self.png())
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def text_width(text: str, size: int, weight: int = REGULAR) -> int:
    """Return how many pixels wide a line is."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2])


def _shortened(text: str, size: int, weight: int, width: int) -> str:
    if text_width(text, size, weight) <= width:
        return text
    while text and text_width(f"{text}...", size, weight) > width:
        text = text[:-1]
    return f"{text}..."


@lru_cache(maxsize=1)
def _font() -> "cv2.FontFace":
    return cv2.FontFace("sans")
