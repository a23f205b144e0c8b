"""Draw a result: the frame with its region, beside it the input and the label."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.live.cameras.base import BgrImage
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.status import Status

_HEIGHT = 480
_PANEL = 210
_MARGIN = 14
_INSET = 140
_TOP = 3
_WHITE, _GREY, _DARK, _TRACK = (245, 245, 245), (165, 165, 165), (30, 30, 30), (62, 62, 62)
_KNOWN, _UNKNOWN = (110, 205, 110), (80, 170, 245)

HELP = (
    ("space", "pause, go on"),
    ("s", "snapshot"),
    ("r", "region: centre, full"),
    ("drag", "move or draw the region"),
    ("m", "mirror"),
    ("h", "this help"),
    ("q", "quit"),
)


def draw(reading: FrameResult, *, mirror: bool = False, keys: bool = False, notice: str = "") -> BgrImage:
    """Return the image of a result.

    Args:
        reading: what to draw.
        mirror: show the frame as a mirror would; the answer is not changed by that.
        keys: show what the keys do.
        notice: a line at the foot, such as that the feed is paused.

    Returns:
        (height, width, 3) uint8 in blue, green, red order: the frame, brought to a height of 480 at least,
        and a panel.
    """
    scale = max(1.0, _HEIGHT / reading.frame_bgr.shape[0])
    picture = _frame(reading, scale, mirror=mirror)
    if keys:
        _keys(picture)
    if notice:
        _write(picture, notice, (_MARGIN, picture.shape[0] - _MARGIN), _UNKNOWN, 18)
    panel = _panel(reading)
    fitted = cv2.resize(
        panel,
        (round(_PANEL * picture.shape[0] / _HEIGHT), picture.shape[0]),
        interpolation=cv2.INTER_LINEAR,
    )
    return as_uint8(np.concatenate([picture, fitted], axis=1))


def _frame(reading: FrameResult, scale: float, *, mirror: bool) -> BgrImage:
    """Return the frame with its region, enlarged if it is small."""
    frame, box = reading.frame_bgr, reading.box
    height, width = frame.shape[:2]
    if scale > 1:
        size = (max(1, round(width * scale)), round(height * scale))
        picture = as_uint8(cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST))
    else:
        picture = frame.copy()
    if (box.width, box.height) != (width, height):
        near = (round(box.x * scale), round(box.y * scale))
        far = (round((box.x + box.width) * scale) - 1, round((box.y + box.height) * scale) - 1)
        cv2.rectangle(picture, near, far, _DARK, 4)
        colour = _KNOWN if reading.prediction.status is Status.OK else _UNKNOWN
        cv2.rectangle(picture, near, far, colour, 2)
    return as_uint8(cv2.flip(picture, 1)) if mirror else picture


def _panel(reading: FrameResult) -> NDArray[np.uint8]:
    panel = np.full((_HEIGHT, _PANEL, 3), _DARK, np.uint8)
    height, width, channels = reading.tensor.shape
    inset = cv2.cvtColor(reading.tensor, cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_RGB2BGR)
    tall, wide = (_INSET, _INSET * width // height) if height >= width else (_INSET * height // width, _INSET)
    panel[_MARGIN : _MARGIN + tall, _MARGIN : _MARGIN + wide] = cv2.resize(
        inset, (wide, tall), interpolation=cv2.INTER_NEAREST
    )
    _write(panel, "what the model sees", (_MARGIN, _MARGIN + _INSET + 20), _GREY, 13)
    prediction = reading.prediction
    known = prediction.status is Status.OK
    colour = _KNOWN if known else _UNKNOWN
    top = _MARGIN + _INSET + 62
    _write(panel, prediction.label if known else "unknown", (_MARGIN, top), colour, 24)
    detail = f"{prediction.confidence:.0%}" + ("" if known else f"  {prediction.label}?")
    _write(panel, detail, (_MARGIN, top + 26), _WHITE, 17)
    top += 60
    for label, share in prediction.ranking[:_TOP]:
        _write(panel, label, (_MARGIN, top), _WHITE, 13)
        _write(panel, f"{share:.0%}", (_PANEL - _MARGIN - 34, top), _GREY, 13)
        left, right = _MARGIN, _PANEL - _MARGIN
        cv2.rectangle(panel, (left, top + 6), (right, top + 12), _TRACK, cv2.FILLED)
        end = left + round((right - left) * min(1.0, max(0.0, share)))
        cv2.rectangle(panel, (left, top + 6), (end, top + 12), colour, cv2.FILLED)
        top += 36
    foot = _HEIGHT - _MARGIN - 40
    _write(
        panel,
        f"{reading.frames_per_second:.0f} frames/s   {reading.latency_ms:.1f} ms",
        (_MARGIN, foot),
        _GREY,
        13,
    )
    dropped = f"{reading.dropped:,} dropped" if reading.dropped else ""
    _write(panel, dropped, (_MARGIN, foot + 20), _GREY, 13)
    _write(panel, "h: help", (_MARGIN, foot + 40), _GREY, 13)
    return panel


def _keys(picture: BgrImage) -> None:
    """Draw the list of keys over the frame."""
    wide, tall = min(picture.shape[1], 330), min(picture.shape[0], 34 + 26 * len(HELP))
    picture[:tall, :wide] = picture[:tall, :wide] // 4
    for row, (key, what) in enumerate(HELP):
        _write(picture, key, (_MARGIN, 36 + 26 * row), _WHITE, 16)
        _write(picture, what, (_MARGIN + 80, 36 + 26 * row), _GREY, 16)


@lru_cache(maxsize=1)
def _font() -> "cv2.FontFace":
    return cv2.FontFace("sans")


def _write(
    picture: BgrImage, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: int
) -> None:
    cv2.putText(picture, text, at, colour, _font(), size)
