"""Answer browsers that send their own cameras, within bounded memory.

Frames are decoded one after the other, on one thread, and at a reduced size. Frames of eight megapixels from
four browsers would otherwise take hundreds of megabytes, half of which the C library would keep.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fm_runtime import posix
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.image.guard import Limits
from edge_fm_runtime.image.header import ImageFormat
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.region import CENTRE, Box, Region
from edge_fm_runtime.live.web.hub import answer
from edge_fm_runtime.status import Status

MAX_MESSAGE = 4 * 2**20
"""Largest frame, in bytes."""

_LIMITS = Limits(max_bytes=MAX_MESSAGE, max_pixels=2**23)
_PLACES = 4
_SILENT_S = 10.0
_BUSY = 1013


@dataclass(eq=False)
class _Browser:
    """A browser that sends its camera, and the monotonic time of its last frame."""

    socket: WebSocket
    sent_s: float = field(default_factory=time.monotonic)


class BrowserCameras:
    """Places for a few browsers; one that sends no frames gives way to another."""

    def __init__(self, model: str, current: Callable[[], Classifier]) -> None:
        """Offer the places.

        Args:
            model: its name.
            current: returns the model in use.
        """
        self._model, self._current = model, current
        self._browsers: list[_Browser] = []
        self._thread = ThreadPoolExecutor(1, "edge-fm browser frames")

    async def serve(self, socket: WebSocket) -> None:
        """Answer the frames of a browser until it leaves."""
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            silent = min(self._browsers, key=lambda browser: browser.sent_s, default=None)
            is_full = len(self._browsers) >= _PLACES
            if is_full and (silent is None or time.monotonic() - silent.sent_s < _SILENT_S):
                await socket.close(_BUSY, f"{_PLACES} browsers already send their cameras")
            elif not socket.state.keep():
                await socket.close(_BUSY, "too many viewers are connected")
            else:
                await self._serve(_Browser(socket), silent if is_full else None)

    async def _serve(self, browser: _Browser, silent: _Browser | None) -> None:
        """Serve a browser, in the place of one that has sent nothing for long if need be."""
        self._browsers.append(browser)
        try:
            if silent is not None:
                self._browsers.remove(silent)  # before any other task runs
                reason = f"no frame came for {_SILENT_S:.0f} s, and another browser waits"
                await silent.socket.close(_BUSY, reason)
            await self._answer_frames(browser)
        finally:
            if browser in self._browsers:
                self._browsers.remove(browser)
            if not self._browsers:
                await asyncio.to_thread(posix.release_memory)

    async def _answer_frames(self, browser: _Browser) -> None:
        """Answer each frame before the next is read, so that none queues up."""
        number, rate = 0, 0.0
        while True:
            data = await _next_frame(browser.socket)
            last_s, browser.sent_s = browser.sent_s, time.monotonic()
            try:
                described = await self._in_turn(data, number + 1)
            except InputError as error:
                await browser.socket.send_json({"error": str(error)})
                continue
            number += 1
            rate = 0.9 * rate + 0.1 / max(1e-3, browser.sent_s - last_s)
            await browser.socket.send_json(
                {"number": number, "frames_per_second": round(rate, 1), **described}
            )

    async def _in_turn(self, data: bytes, number: int) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, describe, data, number, self._current(), self._model)


async def _next_frame(socket: WebSocket) -> bytes:
    """Return the next message; one of text has no bytes, and is no frame.

    Raises:
        WebSocketDisconnect: the browser has left.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return message.get("bytes") or b""


def describe(data: bytes, number: int, classifier: Classifier, model: str) -> dict[str, Any]:
    """Return the result for an encoded frame, with its region in pixels of the whole frame.

    Args:
        data: a JPEG.
        number: the frame's, in its feed.
        classifier: the model.
        model: its name.

    Raises:
        InputError: it cannot be decoded, is over the limits, or is no JPEG.
    """
    started_s = time.perf_counter()
    spec, region = classifier.passport.input, Region(CENTRE)
    region.suit(spec)
    header = guard.check(data, _LIMITS)
    if header.format is not ImageFormat.JPEG:
        raise InputError(Status.UNSUPPORTED, f"the frame is a {header.format}: send JPEGs")
    height, width = header.upright_size
    box = region.box(width, height)
    reduction = preprocess.frame_reduction(header, (box.height, box.width), spec)
    frame = preprocess.frame_from_bytes(data, _LIMITS, reduction)
    part = _reduced(box, reduction)
    tensor = classifier.frame_tensor(frame[part.y : part.y + part.height, part.x : part.x + part.width])
    prediction = classifier.decide(classifier.probabilities(tensor[np.newaxis]))[0]
    latency_ms = (time.perf_counter() - started_s) * 1000
    result = FrameResult(
        number, frame, box, tensor, prediction, time.monotonic(), latency_ms, latency_ms, 0.0, 0
    )
    return {**answer(result, model), "frame": [width, height]}


def _reduced(box: Box, reduction: int) -> Box:
    """Return a box in pixels of the reduced frame."""
    return Box(box.x // reduction, box.y // reduction, box.width // reduction, box.height // reduction)
