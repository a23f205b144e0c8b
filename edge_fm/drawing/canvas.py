"""Draw text, shapes and images with OpenCV, whose built-in font includes Hangul and Chinese."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.batch.outputs.atomic import atomic
from edge_fm_runtime.image.opencv import as_uint8, cv2

Colour = tuple[int, int, int]
"""(red, green, blue), each in [0, 255]."""

INK: Colour = (34, 38, 43)
QUIET: Colour = (110, 116, 122)
LINE: Colour = (222, 225, 228)
PAPER: Colour = (255, 255, 255)
BLUE: Colour = (31, 95, 191)
RED: Colour = (200, 50, 43)
GREEN: Colour = (40, 130, 40)

REGULAR, BOLD = 400, 700


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels; `x` and `y` are its left and top edges."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class TextStyle:
    """Appearance of a line of text.

    Attributes:
        size: font size in pixels.
        colour: text colour.
        align: horizontal alignment: 0 left, 0.5 centre, 1 right.
        weight: font weight, 400 regular or 700 bold.
        width: width in pixels to shorten the text to, with an ellipsis; None for no limit.
    """

    size: int = 22
    colour: Colour = INK
    align: float = 0.0
    weight: int = REGULAR
    width: int | None = None


class Canvas:
    """A white image to draw on; coordinates are in pixels from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels_bgr = np.full((height, width, 3), 255, np.uint8)

    def text(self, text: str, x: float, y: float, style: TextStyle) -> None:
        """Draw a line of text.

        Args:
            text: text in any script.
            x: left, centre or right of the text, as `style.align` says.
            y: baseline.
            style: font, colour, alignment and width.
        """
        text = text if style.width is None else _shorten(text, style, style.width)
        left = round(x - style.align * text_width(text, style.size, style.weight))
        position, colour = (left, round(y)), style.colour[::-1]
        cv2.putText(self.pixels_bgr, text, position, colour, _font(), style.size, style.weight)

    def box(self, rect: Rect, colour: Colour) -> None:
        """Fill a rectangle."""
        if rect.width >= 1 and rect.height >= 1:
            near, far = _corners(rect)
            cv2.rectangle(self.pixels_bgr, near, far, colour[::-1], cv2.FILLED)

    def frame(self, rect: Rect, colour: Colour, thickness: int = 3) -> None:
        """Draw the border of a rectangle, `thickness` pixels wide, inside it."""
        (left, top), (right, bottom) = _corners(rect)
        for step in range(thickness):
            near, far = (left + step, top + step), (right - step, bottom - step)
            cv2.rectangle(self.pixels_bgr, near, far, colour[::-1], 1)

    def disc(self, x: float, y: float, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a circle with an opacity in [0, 1]."""
        layer = self.pixels_bgr.copy()
        cv2.circle(layer, (round(x), round(y)), max(1, round(radius)), colour[::-1], cv2.FILLED, cv2.LINE_AA)
        self.pixels_bgr = as_uint8(cv2.addWeighted(layer, opacity, self.pixels_bgr, 1 - opacity, 0))

    def picture(self, image: NDArray[np.uint8], x: float, y: float, side: int) -> None:
        """Draw a model's input, (H, W, 1) or (H, W, 3) uint8 RGB, in a square with sharp pixels."""
        code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
        shrinks = max(image.shape[:2]) > side
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        square = cv2.resize(cv2.cvtColor(image, code), (side, side), interpolation=interpolation)
        self.place(as_uint8(square), x, y)

    def place(self, image_bgr: NDArray[np.uint8], x: float, y: float) -> None:
        """Draw an image, (H, W, 3) uint8 BGR, at its own size."""
        height, width = image_bgr.shape[:2]
        self.pixels_bgr[round(y) : round(y) + height, round(x) : round(x) + width] = image_bgr

    def png(self) -> bytes:
        """Return the image as a PNG file."""
        return bytes(cv2.imencode(".png", self.pixels_bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())

    def save(self, path: Path) -> None:
        """Write the image as a PNG file.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic(path) as partial:
            partial.write_bytes(self.png())


def text_width(text: str, size: int, weight: int = REGULAR) -> int:
    """Return the width of a line of text in pixels."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2])


def _corners(rect: Rect) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last pixel of a rectangle."""
    near = round(rect.x), round(rect.y)
    return near, (round(rect.x + rect.width) - 1, round(rect.y + rect.height) - 1)


def _shorten(text: str, style: TextStyle, width: int) -> str:
    if text_width(text, style.size, style.weight) <= width:
        return text
    while text and text_width(f"{text}...", style.size, style.weight) > width:
        text = text[:-1]
    return f"{text}..."


@lru_cache(maxsize=1)
def _font() -> "cv2.FontFace":
    return cv2.FontFace("sans")
